"""A digest that is taken in the background is that of the bytes in their order."""

import hashlib
import threading
from random import Random

from moodarchive.storage.digesting import LARGE_BYTES, BackgroundDigest


def test_blocks_of_any_size_and_kind_are_digested_in_their_order() -> None:
    random, digest, whole = Random(0), BackgroundDigest(), hashlib.sha256()
    for _ in range(60):
        block = random.randbytes(random.choice([0, 3, LARGE_BYTES - 1, LARGE_BYTES, 4 * LARGE_BYTES]))
        kind = random.choice([bytes, bytearray, memoryview])
        digest.update(kind(block))  # type: ignore[arg-type]
        whole.update(block)
    assert digest.hexdigest() == whole.hexdigest()


def test_a_buffer_that_is_used_again_was_digested_before() -> None:
    digest, buffer = BackgroundDigest(), bytearray(LARGE_BYTES)
    digest.update(buffer)
    buffer[:] = b"x" * LARGE_BYTES
    assert digest.hexdigest() == hashlib.sha256(bytes(LARGE_BYTES)).hexdigest()


def test_its_thread_ends_with_it() -> None:
    before = threading.active_count()
    digest = BackgroundDigest()
    digest.update(bytes(LARGE_BYTES))
    digest.hexdigest()
    assert threading.active_count() == before + 1
    pool = digest._pool
    assert pool is not None
    thread = next(iter(pool._threads))
    del digest, pool
    thread.join(10)
    assert not thread.is_alive()
