"""Names that never change: an image's key, a URL's normal form, a value's digest."""

import hashlib
import json
import re
from contextlib import suppress
from typing import Any
from urllib.parse import quote_from_bytes, unquote, unquote_to_bytes, urlsplit

TRACKING = ("utm_", "ixid", "ixlib", "fbclid", "gclid")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SAFE_IN_PATH = "!$&'()*+,;=:@"
"""What may stand in a path as it is (RFC 3986, 3.3), beside the unreserved characters."""
_HTML_AMPERSAND = re.compile("&(?:(?:amp|#0*38|#x0*26);)+", re.IGNORECASE)


def image_key(source: str, source_id: str) -> str:
    """16 hex digits of BLAKE2b over source and source_id: stable from search to shard."""
    return hashlib.blake2b(f"{source}\0{source_id}".encode(), digest_size=8).hexdigest()


def normalise_url(url: str) -> str:
    """One text for all spellings of one address (RFC 3986, 6.2): what an address bar, HTML or a list makes of it.

    Equal are: case and port of scheme and host, a host's name in Unicode and in punycode, a dot after it; escapes in
    either case, and a character with and without an escape that it does not need; ``.`` and ``..`` in a path; ``&amp;``
    and ``&``; fragments and blanks around. In a query also the order, tracking, and ``+`` and a blank. The scheme is
    dropped: http and https of one path show one image.

    Different stay: an escaped ``/ ? #`` or ``%`` in a path, an escaped ``&`` or ``=`` in a query, upper and lower case,
    composed and decomposed letters. What is no address, such as a port out of range, is its own normal form: one bad
    row must not end the merge of a round.
    """
    url = _HTML_AMPERSAND.sub("&", url.strip())
    try:
        split = urlsplit(url)
        host, port = _normalise_host(split.hostname or ""), split.port
    except ValueError:
        return url
    if port and port != _DEFAULT_PORTS.get(split.scheme.lower()):
        host = f"{host}:{port}"
    query = _normalise_query(split.query)
    return (f"//{host}" if host else "") + _normalise_path(split.path or "/") + (f"?{query}" if query else "")


def _normalise_host(host: str) -> str:
    host = unquote(host).lower()
    if not host.isascii():
        import idna

        with suppress(idna.IDNAError):  # what IDNA does not know is compared as it is
            host = idna.encode(host, uts46=True).decode()
    return f"[{host}]" if ":" in host else host.removesuffix(".")


def _normalise_path(path: str) -> str:
    segments: list[str] = []
    names = path.split("/")
    for index, name in enumerate(names):
        segment = quote_from_bytes(unquote_to_bytes(name.encode("utf-8", "surrogatepass")), _SAFE_IN_PATH)
        if segment in (".", ".."):
            if segment == ".." and len(segments) > 1:
                segments.pop()
            segment = ""
            if index < len(names) - 1:
                continue
        segments.append(segment)
    return "/".join(segments)


def _normalise_query(query: str) -> str:
    pairs = [pair.partition("=")[::2] for pair in query.split("&") if pair]
    known = sorted((_in_query(name), _in_query(value)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in known if not name.startswith(TRACKING))


def _in_query(text: str) -> str:
    return quote_from_bytes(unquote_to_bytes(text.replace("+", " ").encode("utf-8", "surrogatepass")), "").replace(
        "%20", "+"
    )


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Any) -> str:
    """16 hex digits that name a JSON-able value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]
