"""The caption stage's memory follows the requests in flight, not the part."""

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from annotate.caption import CaptionSettings, caption_stage
from moodarchive.stage import run_part
from pipelines.demo.serving import started
from tests.annotate.described_part import Picture, write_inputs
from tests.annotate.simulated_gpu import MODEL

pytestmark = pytest.mark.slow


def noise() -> bytes:
    """A picture that does not compress, about 200 kB."""
    pixels = np.random.default_rng(0).integers(0, 256, (384, 384, 3), dtype=np.uint8)
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "JPEG", quality=90)
    return held.getvalue()


def peak_of(root: Path, url: str, rows: int, in_flight: int) -> int:
    """Bytes that Python held at most while one part was captioned."""
    jpeg = noise()
    store, _ = write_inputs(root, [Picture(phrase=f"tree {number}", bytes=jpeg) for number in range(rows)])
    stage = caption_stage(CaptionSettings(model=MODEL, servers=(url,), in_flight=in_flight))
    worker = stage.make_worker()
    tracemalloc.start()
    try:
        run_part(stage, store, worker, 0)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_four_times_the_part_needs_no_more_memory_and_more_requests_in_flight_do(tmp_path: Path) -> None:
    arguments = ["--slots", "64", "--median", "0.02", "--events", str(tmp_path / "events")]
    with started("tests.annotate.simulated_gpu", arguments) as url:
        small = peak_of(tmp_path / "small", url, rows=250, in_flight=4)
        large = peak_of(tmp_path / "large", url, rows=1000, in_flight=4)
        wide = peak_of(tmp_path / "wide", url, rows=250, in_flight=64)
    assert large <= 1.25 * small, (small, large)
    assert large <= 3 * 64 * len(noise()), "more than a few batches of pictures were held"
    assert wide > 1.3 * small, (small, wide)
