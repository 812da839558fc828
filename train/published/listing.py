"""Reads the list files of published datasets with the suspicion that they are something else."""

import json
from pathlib import Path
from typing import Any

from train.published.dataset import Publication

MAX_LIST_BYTES = 1 << 30
"""The longest list that any of the five publishes is a tenth of it."""


def list_bytes(published: Publication, path: Path) -> bytes:
    """DatasetError for a file that is too long for a list or cannot be read."""
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise published.error(f"{path} has more than {MAX_LIST_BYTES:,} bytes and cannot be its list")
        return path.read_bytes()
    except OSError as error:
        raise published.error(f"{path} cannot be read: {error.strerror}") from None


def list_text(published: Publication, path: Path) -> str:
    """The file as UTF-8, a mark of byte order left out."""
    try:
        return list_bytes(published, path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise published.error(f"{path} is no text in UTF-8: {error.reason} at byte {error.start}") from None


def list_json(published: Publication, path: Path) -> Any:
    """The file as JSON."""
    try:
        return json.loads(list_text(published, path))
    except (ValueError, RecursionError) as error:
        raise published.error(f"{path} is no JSON: {error}") from None
