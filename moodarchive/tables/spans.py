"""Where a sample and its members lie in a shard's tar, by the row of the shard's index, their bytes and its digest."""

import hashlib
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple


class Span(NamedTuple):
    """A run of a file's bytes."""

    offset: int
    size: int

    def read(self, file: BinaryIO) -> bytes:
        """The bytes; fewer where the file ends early."""
        file.seek(self.offset)
        return file.read(self.size)

    def within(self, outer: "Span", data: bytes) -> bytes:
        """The bytes, out of those of a span around this one."""
        start = self.offset - outer.offset
        return data[start : start + self.size]


def sample_span(row: Mapping[str, Any]) -> Span:
    """All members of the sample with their headers and padding."""
    return Span(row["offset"], row["size"])


def member_span(row: Mapping[str, Any], member: str) -> Span:
    """The content of the sample's jpg, json or txt."""
    return Span(row[f"{member}_offset"], row[f"{member}_size"])


def sample_sha256(*digests: bytes) -> str:
    """The sample's digest in the index: SHA-256 of its members' SHA-256 digests, 32 bytes each, in the tar's order.

    A picture's digest is taken when it is stored and goes with it: what changes on the way to the shard shows there.
    """
    return hashlib.sha256(b"".join(digests)).hexdigest()
