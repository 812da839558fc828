"""Files of this machine: made at once and for good, or not at all."""

import os
import threading
from contextlib import suppress
from pathlib import Path


def read_content(path: str) -> bytes | None:
    """The whole file; None when there is none."""
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def create_whole(path: str, data: bytes, aside_suffix: str) -> bool:
    """Creates the file unless it exists; False when it does. Exactly one of several racing callers gets True."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    aside = f"{path}.{os.getpid()}.{threading.get_ident()}{aside_suffix}"
    try:
        with open(aside, "wb") as file:
            file.write(data)
        os.link(aside, path)  # unlike open("x"), the file is never seen half written
    except FileExistsError:
        return False
    finally:
        with suppress(FileNotFoundError):
            os.unlink(aside)
    return True


def sync_folder(folder: str) -> None:
    """A rename survives a power cut only once its folder is synced."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
