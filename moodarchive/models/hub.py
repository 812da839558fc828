"""Models of the hub: from earlier downloads first, and an answer within seconds when the hub cannot be reached."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TypeVar

import requests

from moodarchive.errors import ServiceError

PATIENCE_S = 8.0
"""For the first answer of the hub, name resolution and proxies included."""
REMEDY = (
    "name a model that this machine can download or has downloaded (HF_HOME is where its downloads lie, and can be "
    "brought from another machine; with HF_HUB_OFFLINE=1 nothing else is asked)"
)
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt")
T = TypeVar("T")


def from_cache_first(repository: str, load: Callable[[], T]) -> T:
    """What ``load`` makes of a repository's files: of earlier downloads where they suffice, else with the hub.

    ServiceError when the hub must be asked and cannot be reached; an empty ``repository`` is none of the hub's.
    """
    if not repository:
        return load()
    lacking: Exception | None = None
    folder = cached_folder(repository, _WEIGHTS)
    if folder and any(next(folder.rglob(pattern), None) for pattern in _WEIGHTS):
        try:
            with _offline():
                return load()
        except Exception as error:  # noqa: BLE001  libraries raise anything; the hub may have what is missing
            lacking = error
    try:
        _ask(repository)
    except ServiceError as error:
        raise error from lacking
    return load()


@contextmanager
def _offline() -> Iterator[None]:
    """The hub's client takes what it has, and asks for no newer one."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def cached_folder(repository: str, patterns: Sequence[str]) -> Path | None:
    """The folder that earlier downloads left; it may lack files."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, allow_patterns=list(patterns), local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, FileNotFoundError):
        return None


def download(repository: str, patterns: Sequence[str]) -> Path:
    """The folder with the repository's files that match; ServiceError says why there is none."""
    from huggingface_hub import snapshot_download

    address = _ask(repository)
    try:
        return Path(snapshot_download(repository, allow_patterns=list(patterns), endpoint=address))
    except Exception as error:  # the hub's client raises its own, requests', and the file system's errors
        raise ServiceError(f"the download failed: {str(error)[:200]}") from error


def _ask(repository: str) -> str:
    """The hub's address, once it has answered that it has the repository; ServiceError when it does not.

    One small question with a bound of our own: a resolver that does not answer heeds no time limit of requests.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise ServiceError("HF_HUB_OFFLINE is set")
    from huggingface_hub import constants, get_token

    address = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    token = get_token()
    answers: list[int | str] = []

    def ask() -> None:
        try:
            response = requests.get(
                f"{address}/api/models/{repository}",
                headers={"Authorization": f"Bearer {token}"} if token else {},
                timeout=PATIENCE_S,
            )
            answers.append(response.status_code)
        except requests.RequestException as error:
            answers.append(type(error).__name__)

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    answer = answers[0] if answers else f"no answer in {PATIENCE_S:g} s"
    if answer in (401, 403, 404):
        raise ServiceError(f"{address} has no public model of this name (HTTP {answer}); a gated one needs HF_TOKEN")
    if answer != 200:
        raise ServiceError(f"{address} cannot be reached ({answer})")
    return address
