"""The benchmarks of whole archives and of training run, small, and print what they claim as JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FIELDS = {"claim", "ours", "peer", "unit", "ratio", "bar", "met"}

WITHOUT_GPU = os.environ | {"CUDA_VISIBLE_DEVICES": ""}

pytestmark = pytest.mark.torture


@pytest.mark.parametrize(
    ("script", "options", "claims"),
    [
        ("archive.py", ["--images", "2000", "6000"], 13),
        ("pack.py", ["--gb", "0.2", "--rounds", "1"], 3),
        ("cut.py", ["--images", "20000", "--sample", "20000"], 3),
        ("licences.py", ["--samples", "40000"], 12),
        ("browse.py", ["--rows", "20000"], 8),
        ("catalogue.py", ["--rows", "20000", "--embeddings", "5000", "--peers", "10000"], 9),
        ("learning.py", ["--seeds", "2", "--per-cell", "1", "--measured-per-cell", "1"], 12),
        ("edit.py", ["--rounds", "1"], 1),
        ("training.py", ["--layers", "1", "--batch", "4", "--rounds", "1", "--stream-batches", "2"], 3),
    ],
)
def test_each_claim_is_a_line_and_the_weakest_stands_last(
    script: str, options: list[str], claims: int, tmp_path: Path
) -> None:
    command = [sys.executable, str(BENCHMARKS / script), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=WITHOUT_GPU)
    *told, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == claims and all(set(claim) == FIELDS for claim in told)
    assert last == min(told, key=lambda claim: claim["ratio"] / claim["bar"])
    assert all(claim["met"] == (claim["ratio"] >= claim["bar"]) for claim in told)
    assert not list(tmp_path.iterdir()), "a benchmark cleans up after itself"
