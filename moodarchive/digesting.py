"""SHA-256 of what is written, taken by a thread while the writer goes on."""

import hashlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

LARGE_BYTES = 1 << 17
_BLOCKS_AHEAD = 4


class BackgroundDigest:
    """Digests blocks in their order; of large ones at most a few wait in memory.

    Single blocks wait only as ``bytes``: nobody can change them meanwhile. hashlib leaves Python's lock alone on large
    blocks.
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
        self.update_later((block,))

    def update_later(self, blocks: Sequence[bytes | memoryview]) -> None:
        """Takes the next blocks, which nobody may change until the digest is asked for."""
        self._pool = self._pool or ThreadPoolExecutor(1)
        self._waiting.append(self._pool.submit(self._update_all, blocks))
        self._settle(_BLOCKS_AHEAD)

    def hexdigest(self) -> str:
        """The digest of all blocks so far."""
        self._settle(0)
        return self._hash.hexdigest()

    def _update_all(self, blocks: Sequence[bytes | memoryview]) -> None:
        for block in blocks:
            self._hash.update(block)

    def _settle(self, most: int) -> None:
        while len(self._waiting) > most:
            self._waiting.popleft().result()
