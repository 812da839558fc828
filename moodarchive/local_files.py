"""Files of this machine: made at once and for good, or not at all."""

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def content(path: str) -> bytes | None:
    """The whole file; None when there is none."""
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def create_whole(path: str, data: bytes, aside_suffix: str) -> bool:
    """Creates the file unless it exists; False when it does. Exactly one of several racing callers gets True."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    aside = f"{path}.{os.getpid()}.{threading.get_ident()}{aside_suffix}"
    try:
        with open(aside, "wb") as file:
            file.write(data)
        os.link(aside, path)  # unlike open("x"), the file is never seen half written
    except FileExistsError:
        return False
    finally:
        with suppress(FileNotFoundError):
            os.unlink(aside)
    return True


_VECTOR_BLOCKS = os.sysconf("SC_IOV_MAX")


def write_vector(handle: int, blocks: Sequence[bytes | memoryview]) -> None:
    """Writes the blocks one after the other where the file stands, all of them."""
    left = list(blocks)
    while left:
        written = os.writev(handle, left[:_VECTOR_BLOCKS])
        done = 0
        while done < len(left) and written >= len(left[done]):
            written -= len(left[done])
            done += 1
        left = left[done:]
        if written:
            left[0] = memoryview(left[0])[written:]


def start_writing_back(handle: int, start: int, size: int) -> None:
    """Has the kernel write these bytes to the disk now and waits for nothing, so that a later fsync finds little to do.

    The kernel takes its advice that they are not needed so, and then drops from memory what the disk has already.
    """
    os.posix_fadvise(handle, start, size, os.POSIX_FADV_DONTNEED)


def sync_folder(folder: str) -> None:
    """A rename survives a power cut only once its folder is synced."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
