"""The caption stage's memory follows the requests in flight, not the part."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.demo.serving import run_server
from tests.annotate.described_part import Picture, write_inputs

pytestmark = pytest.mark.slow


def noise() -> bytes:
    """A picture that does not compress, about 60 kB."""
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "JPEG", quality=90)
    return held.getvalue()


def peak_of(root: Path, url: str, rows: int, in_flight: int) -> int:
    """KiB that a process held at most, all of it counted, while it captioned one part."""
    jpeg = noise()
    write_inputs(root, [Picture(phrase=f"tree {number}", bytes=jpeg) for number in range(rows)])
    command = [sys.executable, "-m", "tests.annotate.measured_run", str(root), url, str(in_flight)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_ten_times_the_part_needs_no_more_memory_and_more_requests_in_flight_do(tmp_path: Path) -> None:
    arguments = ["--slots", "256", "--median", "0.01", "--events", str(tmp_path / "events")]
    with run_server("tests.annotate.simulated_gpu", arguments) as url:
        small = peak_of(tmp_path / "small", url, rows=250, in_flight=4)
        large = peak_of(tmp_path / "large", url, rows=2500, in_flight=4)
        wide = peak_of(tmp_path / "wide", url, rows=500, in_flight=256)
    assert large <= 1.2 * small, (small, large)
    assert wide > 1.1 * small, (small, wide)
