"""The memory that one picture needed serves the next, in a process that downloads."""

import ctypes
from contextlib import suppress
from functools import cache

import pyarrow as pa

_TRIM, _MMAP = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h."""
LARGEST_KEPT_BYTES, MOST_KEPT_BYTES = 8 << 20, 16 << 20
"""A larger block goes back to the kernel at once, and so does what is free above this at the end of a thread's heap."""


@cache
def keep_freed_memory() -> None:
    """Freed memory is kept, within bounds.

    By its own rules glibc hands a picture's megabytes back, and Arrow's allocator a batch's; the kernel clears them all
    for the next one. Another C library keeps its own rules.
    """
    with suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP, LARGEST_KEPT_BYTES)
        library.mallopt(_TRIM, MOST_KEPT_BYTES)
    pa.set_memory_pool(pa.system_memory_pool())
