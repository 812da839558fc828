"""Fetches parts of a model from the hub, and finds out within seconds when the hub cannot be reached."""

import os
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

import requests

from moodarchive.errors import ServiceError

PATIENCE_S = 8.0
"""For the first answer of the hub, name resolution and proxies included."""


def cached(repository: str, patterns: Sequence[str]) -> Path | None:
    """The folder that earlier downloads left; it may lack files."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, allow_patterns=list(patterns), local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, FileNotFoundError):
        return None


def download(repository: str, patterns: Sequence[str]) -> Path:
    """The folder with the repository's files that match; ServiceError says why there is none."""
    from huggingface_hub import constants, snapshot_download

    address = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    _ask(address, repository)
    try:
        return Path(snapshot_download(repository, allow_patterns=list(patterns), endpoint=address))
    except Exception as error:  # the hub's client raises its own, requests', and the file system's errors
        raise ServiceError(f"the download failed: {str(error)[:200]}") from error


def _ask(address: str, repository: str) -> None:
    """One small question with a bound of our own: a resolver that does not answer heeds no time limit of requests."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise ServiceError("HF_HUB_OFFLINE is set")
    from huggingface_hub import get_token

    token = get_token()
    found: list[int | str] = []

    def ask() -> None:
        try:
            told = requests.get(
                f"{address}/api/models/{repository}",
                headers={"Authorization": f"Bearer {token}"} if token else {},
                timeout=PATIENCE_S,
            )
            found.append(told.status_code)
        except requests.RequestException as error:
            found.append(type(error).__name__)

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    answer = found[0] if found else f"no answer in {PATIENCE_S:g} s"
    if answer in (401, 403, 404):
        raise ServiceError(f"{address} has no public model of this name (HTTP {answer}); a gated one needs HF_TOKEN")
    if answer != 200:
        raise ServiceError(f"{address} cannot be reached ({answer})")
