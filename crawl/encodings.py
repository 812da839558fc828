"""Takes apart the Content-Encoding of an answer within a limit; servers also name encodings that they did not apply."""

import zlib
from collections.abc import Iterable

OFFERED = "gzip, deflate, br, zstd"
"""What is asked for where a text is expected."""
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_MOST_LAYERS = 4


def decode_body(body: bytes, header_values: Iterable[str], most: int) -> bytes:
    """The content, of at most ``most`` + 1 bytes: one more than ``most`` says that there is more.

    ``header_values`` are those of Content-Encoding. An encoding that is unknown, empty or means nothing for a body
    (``identity``, ``aws-chunked``) leaves it as it is, and so does one that was announced and not applied.
    ValueError when the body is encoded and cannot be taken apart.
    """
    names = [name.strip().lower() for value in header_values for name in value.split(",")]
    applied = [name for name in names if name.removeprefix("x-") in ("gzip", "deflate", "br", "zstd")]
    if len(applied) > _MOST_LAYERS:
        raise ValueError(f"{len(applied)} encodings over each other")
    for name in reversed(applied):
        body = _decode(body, name.removeprefix("x-"), most + 1)
    return body[: most + 1]


def unpack_file(body: bytes, most: int) -> bytes:
    """The content of a file that is gzip itself, such as a sitemap.xml.gz; any other file as it is. ValueError."""
    return _inflate(body, 31, most + 1) if body.startswith(_GZIP) else body


def _decode(body: bytes, name: str, most: int) -> bytes:
    if name == "gzip":
        return _inflate(body, 31, most) if body.startswith(_GZIP) else body
    if name == "deflate":
        for wbits in (15, -15):  # RFC 9110 means zlib's wrapping; some servers leave it out
            try:
                return _inflate(body, wbits, most)
            except ValueError:
                continue
        return body
    if name == "zstd":
        return _read_by_arrow(body, "zstd", most) if body.startswith(_ZSTD) else body
    try:
        return _read_by_arrow(body, "brotli", most)
    except ValueError:
        return body  # brotli has no signature by which to know a body that is not encoded


def _inflate(body: bytes, wbits: int, most: int) -> bytes:
    """What one or several zlib streams hold, up to ``most`` bytes; ValueError for one that is damaged or cut."""
    content = bytearray()
    while body and len(content) < most:
        stream = zlib.decompressobj(wbits)
        try:
            content += stream.decompress(body, most - len(content))
        except zlib.error as error:
            if content:
                break  # what follows a whole stream is padding
            raise ValueError(f"no whole {'gzip' if wbits == 31 else 'deflate'}: {error}") from None
        if not stream.eof:
            if len(content) < most:
                raise ValueError("the compressed body is cut off")
            break
        body = stream.unused_data if wbits == 31 else b""
    return bytes(content)


def _read_by_arrow(body: bytes, codec: str, most: int) -> bytes:
    import pyarrow as pa

    content = bytearray()
    try:
        with pa.CompressedInputStream(pa.BufferReader(body), codec) as stream:
            while len(content) < most and (block := stream.read(min(1 << 16, most - len(content)))):
                content += block
    except OSError as error:
        raise ValueError(f"no whole {codec}: {error}") from None
    return bytes(content)
