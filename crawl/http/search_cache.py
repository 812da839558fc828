"""Search answers kept for a day under the root, so that no question is asked twice, not even after a kill."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest

KEPT_S = 86_400.0
_FOLDER = "crawl/answers"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer of a site: its text, some headers, and when it came (seconds of the epoch)."""

    text: str
    date: str | None
    etag: str | None
    came: float
    last_modified: str | None = None

    @classmethod
    def of(cls, text: str, headers: Mapping[str, str], came: float, before: "Answer | None") -> "Answer":
        """The answer just given; one that is the same as ``before`` (304) may leave its validators out."""
        same = before if before and before.text == text else None
        return cls(
            text=text,
            date=headers.get("Date"),
            etag=headers.get("ETag") or (same.etag if same else None),
            came=came,
            last_modified=headers.get("Last-Modified") or (same.last_modified if same else None),
        )

    def conditions(self) -> dict[str, str]:
        """Headers that ask for the answer only if it is another one by now."""
        asked = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in asked.items() if value}

    def is_fresh(self, now: float) -> bool:
        """True for a day."""
        return 0 <= now - self.came < KEPT_S


@dataclass(frozen=True)
class Answers:
    """The cache. Requests are named by a digest of address and parameters; keys travel in headers or are left out."""

    store: Store
    clock: Callable[[], float] = time.time

    def find(self, url: str, params: Mapping[str, str | int]) -> Answer | None:
        """The answer, fresh or not; None when there is none."""
        try:
            return Answer(**json.loads(self.store.read_bytes(_path(url, params))))
        except FileNotFoundError:
            return None

    def keep(self, url: str, params: Mapping[str, str | int], answer: Answer) -> None:
        """Keeps it, in place of an older one."""
        self.store.write_bytes(_path(url, params), json.dumps(asdict(answer)).encode())


def forget_answers(store: Store) -> None:
    """Removes every answer: a site tells of images that were taken down, too."""
    for path in store.files(_FOLDER):
        store.remove(path)


def _path(url: str, params: Mapping[str, str | int]) -> str:
    name = digest([url, {key: str(value) for key, value in params.items()}])
    return f"{_FOLDER}/{name[:2]}/{name}.json"
