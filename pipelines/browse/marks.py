"""What a person marks on the wall: one line a mark in a file that only grows, on the disk before it is confirmed."""

import json
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from moodarchive.errors import DamagedPartError
from moodarchive.storage.store import Store
from pipelines.browse.cache import root_folder

GOOD, REJECT, TAKEDOWN = "good", "reject", "takedown"
MARKS = (GOOD, REJECT, TAKEDOWN)
NAME = "marks/marks.jsonl"
_KEY = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One mark of one picture; ``mark`` is empty where an earlier one was taken back. ``at`` is Unix seconds."""

    key: str
    mark: str
    reason: str = ""
    comment: str = ""
    at: int = 0


def marks_path(store: Store, named: str = "") -> Path:
    """Where the root's marks are kept: under it, or for a root that is no folder in the user's own data."""
    if named:
        return Path(named)
    if store.is_local:
        return Path(store.path(NAME))
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "moodarchive"
    return root_folder(store, home) / "marks.jsonl"


def read_marks(path: Path) -> dict[str, Mark]:
    """The mark that holds for each key: its last. DamagedPartError for a line that is none."""
    standing: dict[str, Mark] = {}
    for mark in _lines(path):
        standing.pop(mark.key, None)
        if mark.mark:
            standing[mark.key] = mark
    return standing


def _lines(path: Path) -> Iterator[Mark]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    # what stands after the last line's end was being written when the machine stopped, and was never confirmed
    for number, line in enumerate(data[: data.rfind(b"\n") + 1].splitlines(), 1):
        try:
            mark = Mark(**json.loads(line))
            if not _KEY.fullmatch(mark.key) or mark.mark not in ("", *MARKS):
                raise ValueError("no mark")
        except (ValueError, TypeError) as error:
            raise DamagedPartError(f"{path}, line {number}: {error}; remedy: remove the line") from None
        yield mark


class MarksFile:
    """The open file; safe for the threads of one process."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.standing = read_marks(path)
        self._lock = threading.Lock()
        self._file = path.open("ab+")
        self._cut_unfinished_line()

    def _cut_unfinished_line(self) -> None:
        self._file.seek(0)
        data = self._file.read()
        self._file.truncate(data.rfind(b"\n") + 1)

    def add(self, mark: Mark) -> Mark | None:
        """Keeps the mark for good; returns what held before."""
        with self._lock:
            stamped = Mark(**{**asdict(mark), "at": int(time.time())})
            self._file.write((json.dumps(asdict(stamped), ensure_ascii=True, sort_keys=True) + "\n").encode())
            self._file.flush()
            os.fsync(self._file.fileno())
            before = self.standing.pop(mark.key, None)
            if mark.mark:
                self.standing[mark.key] = stamped
            return before

    def close(self) -> None:
        """Ends writing."""
        self._file.close()


def forget(store: Store, keys: frozenset[str]) -> None:
    """Removes what was written beside marks of the keys: the marks stay, which name nothing but keys."""
    if not store.exists(NAME):
        return
    path = Path(store.path(NAME))
    marks = list(_lines(path))
    if not any(mark.key in keys and (mark.comment or mark.reason) for mark in marks):
        return
    blank = [Mark(key=mark.key, mark=mark.mark, at=mark.at) if mark.key in keys else mark for mark in marks]
    text = "".join(json.dumps(asdict(mark), ensure_ascii=True, sort_keys=True) + "\n" for mark in blank)
    store.write_bytes(NAME, text.encode())
