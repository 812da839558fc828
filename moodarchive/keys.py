"""Names that never change: an image's key, a URL's normal form, a value's digest."""

import hashlib
import json
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

TRACKING = ("utm_", "ixid", "ixlib", "fbclid", "gclid")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def image_key(source: str, source_id: str) -> str:
    """16 hex digits of BLAKE2b over source and source_id: stable from search to shard."""
    return hashlib.blake2b(f"{source}\0{source_id}".encode(), digest_size=8).hexdigest()


def normalise_url(url: str) -> str:
    """Two spellings of one address compare equal: case, default port, fragment, tracking and query order removed.

    The scheme is dropped too, since http and https of one path show one image. What is no address, such as a port out
    of range, is its own normal form: one bad row must not end the merge of a round.
    """
    url = url.strip()
    try:
        split = urlsplit(url)
        host, port = (split.hostname or "").lower(), split.port
    except ValueError:
        return url
    if port and port != _DEFAULT_PORTS.get(split.scheme.lower()):
        host = f"{host}:{port}"
    # surrogates carry bytes that are not UTF-8 through: replaced, they would make different addresses equal
    pairs = parse_qsl(split.query, keep_blank_values=True, errors="surrogateescape")
    query = sorted(pair for pair in pairs if not pair[0].startswith(TRACKING))
    return urlunsplit(("", host, split.path or "/", urlencode(query, errors="surrogateescape"), ""))


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Any) -> str:
    """16 hex digits that name a JSON-able value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]
