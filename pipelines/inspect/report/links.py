"""Which addresses of the tables may become links."""

import re
from urllib.parse import urlsplit

_UNWRITABLE = re.compile(r"[\x00-\x20\x7f]")


def safe_link(address: str | None) -> str | None:
    """The address when it is http or https and names a host; None for everything else.

    Browsers drop control characters before they read the scheme, so an address that holds any is no link.
    """
    if not address or _UNWRITABLE.search(address):
        return None
    try:
        split = urlsplit(address)
        return address if split.scheme in ("http", "https") and split.hostname else None
    except ValueError:
        return None
