"""Each part's log under logs/STAGE/NNNNN.log, with secrets redacted."""

import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from moodarchive.storage.store import Store

LOGGER = logging.getLogger("moodarchive")
LOG_BYTES = 1 << 20
_SECRET_NAMES = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)", re.IGNORECASE)
_SECRET_PARAMETERS = re.compile(r"(?i)((?:api_?key|key|token|client_id|client_secret|password)=)[^&\s\"']+")


def redact(text: str) -> str:
    """The text without the values of secret-looking environment variables and URL parameters."""
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET_NAMES.search(name):
            text = text.replace(value, "[redacted]")
    return _SECRET_PARAMETERS.sub(r"\1[redacted]", text)


_IN_WORK: ContextVar[object] = ContextVar("part in work", default=None)
"""The handler of the part that a thread, or an asyncio task that it began, works on: a process may have two parts."""


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.addFilter(lambda record: _IN_WORK.get() in (None, self))
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self.lines: list[str] = []
        self.size = 0

    def emit(self, record: logging.LogRecord) -> None:
        line = redact(self.format(record))
        if self.size < LOG_BYTES:
            self.lines.append(line)
            self.size += len(line)


def log_path(stage: str, part: int) -> str:
    """Where the part's log lies, relative to the root."""
    return f"logs/{stage}/{part:05d}.log"


def forget_logs(store: Store, stage: str, parts: Iterable[int]) -> None:
    """Removes the logs of the parts: they name addresses and keys."""
    for part in parts:
        store.remove(log_path(stage, part))


@contextmanager
def part_log(store: Store, stage: str, part: int) -> Iterator[logging.Logger]:
    """Collects what is logged in the block, at most 1 MiB, and writes it when the block ends, well or not."""
    handler = _Lines()
    logger = LOGGER.getChild(stage)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    token = _IN_WORK.set(handler)
    try:
        yield logger
    except BaseException as error:
        logger.error("part %05d ended with %s: %s", part, type(error).__name__, error, exc_info=True)
        raise
    finally:
        _IN_WORK.reset(token)
        logger.removeHandler(handler)
        try:
            store.write_bytes(log_path(stage, part), ("\n".join(handler.lines) + "\n").encode())
        except Exception as error:  # noqa: BLE001  the part's own outcome must not depend on its log
            LOGGER.warning("the log of %s part %05d could not be written: %s", stage, part, error)
