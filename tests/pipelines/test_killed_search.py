"""A round that is killed while it searches goes on without asking the site anything twice."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web

from tests.making import HOST, serving
from tests.pipelines.running import archive_digest, moodarchive, signal_group, start

pytestmark = pytest.mark.slow
DATE = "Thu, 01 Jan 2026 10:00:00 GMT"


def _config(folder: Path, address: str) -> str:
    path = folder / "config.toml"
    path.write_text(
        f"""
[descriptors]
emotions = ["joy"]
phrases_per_cell = 5
[search]
user_agent = "MoodArchive-test/0.1 (a@b.example)"
loopback_hosts = {{ "{HOST}" = "{address}" }}
[sources.openverse]
base_url = "http://{HOST}/v1"
results_per_query = 20
limits = ["100/s", "1000/day"]
[download]
host_limit = "100/s"
"""
    )
    return str(path)


@pytest.mark.parametrize("kills", [(6,), pytest.param((3, 8, 14), marks=pytest.mark.torture)])
def test_a_killed_round_asks_no_search_twice(kills: tuple[int, ...], tmp_path: Path) -> None:
    asked: list[str] = []

    async def answering(request: web.Request) -> web.Response:
        asked.append(request.query["q"])
        await asyncio.sleep(0.1)
        name = request.query["q"].replace(" ", "-")
        record = {"id": name, "url": f"http://{HOST}/{name}.jpg", "license": "by", "license_version": "4.0"}
        return web.json_response({"page_count": 1, "results": [record]}, headers={"Date": DATE})

    with serving({"/v1/images/": answering}) as site:
        config = _config(tmp_path, site.address)
        root, other = tmp_path / "killed", tmp_path / "undisturbed"
        for kill_at in kills:
            process = start("run", config, "--root", str(root), "--until", "merge")
            while len(asked) < kill_at and process.poll() is None:
                time.sleep(0.01)
            signal_group(process, 9)
            output, _ = process.communicate()
            assert process.returncode == -9, output
        done = moodarchive("run", config, "--root", str(root), "--until", "merge")
        assert done.returncode == 0, done.stderr
        counts = Counter(asked)
        assert len(counts) == 20
        assert sum(counts.values()) <= 20 + len(kills), "at most what was in flight at each kill"
        if len(kills) > 1:  # whole runs that are killed are compared in test_interruptions.py
            assert moodarchive("run", config, "--root", str(other), "--until", "merge").returncode == 0
            assert archive_digest(root) == archive_digest(other)
