"""Where a sample and its members lie in a shard's tar, by the row of the shard's index, and their bytes."""

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
    """All members of the sample with their headers and padding: the bytes that its sha256 is of."""
    return Span(row["offset"], row["size"])


def member_span(row: Mapping[str, Any], member: str) -> Span:
    """The content of the sample's jpg, json or txt."""
    return Span(row[f"{member}_offset"], row[f"{member}_size"])
