"""Reads a picture from the one folder that the settings open; no other address leads to a file."""

import os
from pathlib import Path
from urllib.parse import unquote_to_bytes

from moodarchive.errors import RowError

SCHEME = "folder"


def read_from_folder(folder: str, url: str, max_bytes: int) -> bytes | None:
    """The file that ``folder:a/b.jpg`` names, None for other schemes.

    RowError ``forbidden_scheme`` without a folder, ``forbidden_address`` outside it, ``missing_file`` or
    ``too_many_bytes``.
    """
    scheme, _, inside = url.partition(":")
    if scheme != SCHEME:
        return None
    if not folder:
        raise RowError("forbidden_scheme", f"{url!r}: no folder is open")
    top = Path(folder).resolve()
    path = (top / os.fsdecode(unquote_to_bytes(inside))).resolve()
    if not path.is_relative_to(top):
        raise RowError("forbidden_address", f"{url!r} leads out of the folder")
    if not path.is_file():
        raise RowError("missing_file", f"{url!r} is not in the folder")
    if path.stat().st_size > max_bytes:
        raise RowError("too_many_bytes", f"{url!r}: {path.stat().st_size} bytes, limit {max_bytes}")
    return path.read_bytes()
