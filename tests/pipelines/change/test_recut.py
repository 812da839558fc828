"""``moodarchive run --recut`` judges all rounds as one, says so in the history, and does nothing when asked again."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from filter.cut import CutSettings, cut
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import SELECTION
from pipelines.demo.run import DemoOptions, demo_settings
from pipelines.demo.serving import run_server
from tests.making import rows_of
from tests.pipelines.running import archive_digest, moodarchive
from validate.verify import verify

pytestmark = [pytest.mark.slow, pytest.mark.torture]
PICTURES = 48


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """56 queries in two rounds, two contexts each."""
    with (
        run_server("pipelines.demo.stock_site.server", ["--images", str(PICTURES), "--seed", "0"]) as site,
        run_server("pipelines.demo.captioner.server", []) as captions,
    ):
        asked = demo_settings(DemoOptions(root="", images=PICTURES), PICTURES, site, captions)
        found = {
            "run": {"ray_address": asked.run.ray_address},
            "descriptors": {"emotions": ["joy"], "phrases_per_cell": 14},
            "sources.openverse": {"base_url": asked.sources.openverse.base_url, "results_per_query": 400,
                                  "limits": list(asked.sources.openverse.limits)},
            "search": {"user_agent": asked.search.user_agent, "round_images": 28 * 400},
            "search.loopback_hosts": asked.search.loopback_hosts,
            "merge": {"rows_per_part": 20},
            "download": {"host_limit": asked.download.host_limit, "deadline_s": 6.0},
            "caption": {"model": asked.caption.model, "servers": list(asked.caption.servers)},
            "score": {"model": asked.score.model, "pretrained": ""},
            "cut": {"percentile": 30.0, "smallest_cell": 1, "heldout": 0.05, "validation": 0.02},
        }  # fmt: skip
        lines = [
            line
            for section, values in found.items()
            for line in (
                f"[{section}]",
                *(f"{json.dumps(name)} = {json.dumps(value)}" for name, value in values.items()),
            )
        ]
        path = tmp_path / "settings.toml"
        path.write_text("\n".join(lines) + "\n")
        yield path


def _run(config: Path, root: Path, *more: str) -> None:
    done = moodarchive("run", str(config), "--root", str(root), *more)
    assert done.returncode == 0, done.stdout + done.stderr


def _verdicts(store: Store, parts: list[int]) -> list[dict[str, object]]:
    return [row for part in parts for row in rows_of(store, SELECTION, part)]


def test_two_rounds_are_judged_together_once(config: Path, tmp_path: Path) -> None:
    root = tmp_path / "archive"
    _run(config, root)
    store = Store(str(root))
    assert [path.name for path in sorted((root / "rounds").glob("*.json"))] == ["0000.json", "0001.json"]
    parts = [int(path.stem) for path in sorted((root / "selection").glob("*.json"))]
    apart = _verdicts(store, parts)
    assert {row["round"] for row in apart} == {0, 1}
    _run(config, root, "--recut")
    together = _verdicts(store, parts)
    assert together != apart
    told = json.loads((root / "manifest.json").read_bytes())
    assert told["settings"]["whole_table"]["cut"]["rounds"] == "together" and told["seal"] == 1
    assert "setting cut.rounds" in moodarchive("diff", str(root)).stdout.replace("whole_table.", "")
    assert list(verify(store)) == []
    digest = archive_digest(root)
    _run(config, root, "--recut")
    assert archive_digest(root) == digest
    cut(store, CutSettings(percentile=30.0, smallest_cell=1, heldout=0.05, validation=0.02, rounds="together"), parts)
    assert _verdicts(store, parts) == together
