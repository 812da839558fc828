"""A large new file of this machine, digested and written beside the page cache by a thread while its writer goes on.

What passes the cache is copied there page by page and sends other files out of it: for gigabytes that nobody reads
soon, that costs more than the disk does. Blocks are large because a thread gets Python's lock back only when the writer
lets go of it: a digest of many small pieces mostly waits.
"""

import errno
import fcntl
import hashlib
import io
import mmap
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

BLOCK_BYTES = 2 << 20
_BLOCKS = 4
_DIRECT = getattr(os, "O_DIRECT", 0)
"""Linux. Where it is missing, or the file system refuses it, the same blocks go through the cache."""


class LargeFile(io.RawIOBase):
    """Write-only, from start to end; what is written may be changed at once.

    ``flush`` before the handle or the digest is used.

    An OSError of the disk (no space, say) is raised by a later write or by ``flush``. Memory: four blocks.
    """

    def __init__(self, path: str) -> None:
        self._handle = _create_file(path)
        self.bytes_written = 0
        self._handed_over = self._filled = 0
        self._hash = hashlib.sha256()
        self._blocks = deque(mmap.mmap(-1, BLOCK_BYTES) for _ in range(_BLOCKS))  # whole pages, as the disk wants them
        self._at_work: deque[tuple[Future[None], Future[None]]] = deque()
        self._digester, self._writer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._handle

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            some = view[done : done + BLOCK_BYTES - self._filled]
            self._blocks[0][self._filled : self._filled + len(some)] = some
            self._filled += len(some)
            done += len(some)
            if self._filled == BLOCK_BYTES:
                self._hand_over()
        self.bytes_written += len(view)
        return len(view)

    @property
    def sha256(self) -> str:
        """Of all that was flushed."""
        return self._hash.hexdigest()

    def _hand_over(self) -> None:
        """Gives the first block to the thread, and waits for the one that has been with it longest if all are."""
        block = self._blocks.popleft()
        filled = memoryview(block)[: self._filled]
        digested = self._digester.submit(self._hash.update, filled)
        self._at_work.append((digested, self._writer.submit(self._write_all, filled, self._handed_over)))
        self._handed_over += self._filled
        self._filled = 0
        self._blocks.append(block)
        self._settle(_BLOCKS - 1)

    def _settle(self, most: int) -> None:
        while len(self._at_work) > most:
            for done in self._at_work.popleft():
                done.result()

    def _write_all(self, block: memoryview, offset: int) -> None:
        while block:
            try:
                done = os.pwrite(self._handle, block, offset)
            except OSError as error:
                if error.errno != errno.EINVAL or not _leave_direct(self._handle):
                    raise
                continue  # not a whole page, or a file system that only took the flag
            block, offset = block[done:], offset + done

    def flush(self) -> None:
        """Writes what waits. For the end of a file: whatever comes after part of a page goes through the cache."""
        if not self.closed:
            if self._filled:
                self._hand_over()
            self._settle(0)

    def close(self) -> None:
        if not self.closed:
            try:
                super().close()  # flushes
            finally:
                self._digester.shutdown()
                self._writer.shutdown()
                os.close(self._handle)


def _create_file(path: str) -> int:
    """The handle of a new, empty file."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        return os.open(path, flags | _DIRECT, 0o666)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.open(path, flags, 0o666)


def _leave_direct(handle: int) -> bool:
    """From now on through the cache; False when it was so already."""
    flags = fcntl.fcntl(handle, fcntl.F_GETFL)
    fcntl.fcntl(handle, fcntl.F_SETFL, flags & ~_DIRECT)
    return bool(flags & _DIRECT)
