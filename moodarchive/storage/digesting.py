"""SHA-256 of what is written, taken by a thread while the writer goes on."""

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

LARGE_BYTES = 1 << 17
_BLOCKS_AHEAD = 4


class BackgroundDigest:
    """Digests blocks in their order; of large ones at most a few wait in memory.

    Blocks wait only as ``bytes``: nobody can change them meanwhile. hashlib leaves Python's lock alone on large ones.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[None]] = deque()

    def update(self, block: bytes | memoryview) -> None:
        """Takes the next block."""
        if len(block) < LARGE_BYTES or not isinstance(block, bytes):
            self._settle(0)
            self._hash.update(block)
            return
        self._pool = self._pool or ThreadPoolExecutor(1)
        self._waiting.append(self._pool.submit(self._hash.update, block))
        self._settle(_BLOCKS_AHEAD)

    def hexdigest(self) -> str:
        """The digest of all blocks so far."""
        self._settle(0)
        return self._hash.hexdigest()

    def _settle(self, most: int) -> None:
        while len(self._waiting) > most:
            self._waiting.popleft().result()
