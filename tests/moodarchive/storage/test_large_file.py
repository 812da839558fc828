"""A large file holds what was written, whatever the pieces, the file system, and where the disk ends."""

import errno
import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from moodarchive.errors import StorageFullError
from moodarchive.storage import large_file
from moodarchive.storage.large_file import BLOCK_BYTES, LargeFile
from moodarchive.storage.store import Store

SIZES = (0, 1, 511, 4096, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES + 4096, 5 * BLOCK_BYTES + 77)


def _pieces(data: bytes, seed: int) -> list[bytes]:
    chance, pieces, start = random.Random(seed), [], 0
    while start < len(data):
        size = chance.choice((1, 512, 70_000, BLOCK_BYTES, 3 * BLOCK_BYTES))
        pieces.append(data[start : start + size])
        start += size
    return pieces


def _through_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_file, "_DIRECT", 0)


def _refused_when_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def opened(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no direct files here")
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", opened)


def _refused_when_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a file system that takes the flag and then no write."""
    real, refused = os.pwrite, []

    def written(handle: int, block: memoryview, offset: int) -> int:
        if not refused:
            refused.append(offset)
            raise OSError(errno.EINVAL, "not this block")
        return real(handle, block, offset)

    monkeypatch.setattr(os, "pwrite", written)


def _a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(
        os, "pwrite", lambda handle, block, offset: real(handle, block[: max(1, len(block) // 2)], offset)
    )


@pytest.mark.parametrize("size", SIZES)
def test_the_file_is_what_was_written_whatever_the_pieces(tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    with LargeFile(str(tmp_path / "file")) as file:
        for piece in _pieces(data, size):
            held = bytearray(piece)
            assert file.write(held) == len(piece)
            held[:] = bytes(len(held))  # the writer may use its memory for something else at once
        file.flush()
        assert (file.bytes_written, file.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert (tmp_path / "file").read_bytes() == data


@pytest.mark.parametrize(
    "machine", [_through_the_cache, _refused_when_opened, _refused_when_written, _a_part_at_a_time]
)
def test_a_file_system_that_writes_otherwise_gets_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: Callable[[pytest.MonkeyPatch], None]
) -> None:
    data = random.Random(0).randbytes(4 * BLOCK_BYTES + 12_345)
    machine(monkeypatch)
    with LargeFile(str(tmp_path / "file")) as file:
        for piece in _pieces(data, 1):
            file.write(piece)
    assert (tmp_path / "file").read_bytes() == data


def test_a_large_draft_that_does_not_fit_is_named_and_leaves_nothing(tiny_disk: Store) -> None:
    with (
        pytest.raises(StorageFullError, match=r"no space left.*a/b.*remedy"),
        tiny_disk.large_draft("a/b") as file,
    ):
        for _ in range(64):
            file.write(bytes(4 << 20))
    assert tiny_disk.names("a") == []


def test_a_small_last_block_that_does_not_fit_is_named_too(tiny_disk: Store) -> None:
    with pytest.raises(StorageFullError, match="no space left"), tiny_disk.large_draft("a/b") as file:
        file.write(bytes(200_000))
    assert tiny_disk.names("a") == []


def test_a_large_draft_that_fails_midway_leaves_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError, match="midway"), store.large_draft("a/b") as file:
        file.write(bytes(3 * BLOCK_BYTES))
        raise RuntimeError("midway")
    assert list(Path(store.root, "a").iterdir()) == []
