"""Weights are read once to be named; whatever may have changed them makes them read again."""

import hashlib
import os
from pathlib import Path

import pytest

from editor import weights_digest
from editor.provenance import folder_name
from editor.weights_digest import weights_sha256


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model" / "w.safetensors"
    path.parent.mkdir()
    _write(path, b"one")
    return path


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_digest, "SETTLED_S", -1.0)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are digested."""
    names, real = [], hashlib.file_digest

    def counts(file: object, kind: str) -> object:
        names.append(Path(file.name).name)  # type: ignore[attr-defined]
        return real(file, kind)  # type: ignore[arg-type]

    monkeypatch.setattr("hashlib.file_digest", counts)
    return names


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_file_is_read_once_and_its_name_stays(weights: Path, reads: list[str]) -> None:
    name = folder_name(str(weights.parent))
    assert folder_name(str(weights.parent)) == name
    assert reads == ["w.safetensors"]


def test_other_bytes_of_the_same_size_and_time_are_read_again(weights: Path) -> None:
    assert weights_sha256(weights) == _sha256(b"one")
    stat = weights.stat()
    _write(weights, b"two")
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as rsync -t and cp -p do
    assert weights_sha256(weights) == _sha256(b"two")
    other = weights.with_name("other")
    _write(other, b"six")
    os.replace(other, weights)
    assert weights_sha256(weights) == _sha256(b"six")


def test_a_file_that_has_just_changed_is_not_relied_on(
    weights: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights_digest, "SETTLED_S", 60.0)
    assert weights_sha256(weights) == weights_sha256(weights)
    assert len(reads) == 2


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"x": 1', b"\xff"])
def test_a_damaged_cache_is_as_none(weights: Path, damage: bytes) -> None:
    weights_sha256(weights)
    (weights_digest.cache_folder() / "weights.json").write_bytes(damage)
    assert weights_sha256(weights) == _sha256(b"one")


def test_a_cache_that_cannot_be_written_stops_nothing(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_digest, "cache_folder", lambda: weights / "no folder")
    assert weights_sha256(weights) == _sha256(b"one")


def test_what_is_gone_is_forgotten(weights: Path) -> None:
    weights_sha256(weights)
    other = weights.with_name("other.safetensors")
    _write(other, b"other")
    weights.unlink()
    weights_sha256(other)
    kept = (weights_digest.cache_folder() / "weights.json").read_text()
    assert "other.safetensors" in kept and "w.safetensors" not in kept
