"""Edits that go on while the page looks on: each in a thread, with its progress, and a way to stop it."""

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from editor.edit import GRADUAL, EditStopped
from editor.job import Editor, EditResult, settings_with
from editor.pictures import SourcePicture
from editor.planning.plan import EditRequest
from moodarchive.errors import MoodArchiveError

_LOOK_S = 0.2
_LAST_STEP_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """One picture, and the edits that are made of it in one call."""

    source: SourcePicture
    requests: tuple[EditRequest, ...]


class Going(NamedTuple):
    """Steps done of all for the ``picture``-th; (0, 0) while models are loaded and prompt and region are sought."""

    done: int
    of: int
    picture: int = 1
    stopping: bool = False


class Made(NamedTuple):
    """The edits of one picture."""

    source: SourcePicture
    edits: list[EditResult]


News = Going | Made | BaseException


@dataclass(kw_only=True)
class Runs:
    """One editor, one picture at a time; ``stop`` ends the edits of one page and no other."""

    editor: Editor
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stops: dict[str, threading.Event] = field(default_factory=dict)

    def run(self, page: str, jobs: Sequence[Job], strength: float) -> Iterator[Going | Made]:
        """Progress again and again, each picture's edits once they are made. EditStopped, or the error of an edit."""
        stop = self._stops[page] = threading.Event()
        news_queue: queue.SimpleQueue[News] = queue.SimpleQueue()
        thread = threading.Thread(target=self._work, args=(news_queue, stop, jobs, strength), daemon=True)
        thread.start()
        try:
            latest, left = Going(0, 0), len(jobs)
            while left:
                try:
                    news = news_queue.get(timeout=_LOOK_S)
                except queue.Empty:
                    yield latest._replace(stopping=stop.is_set())
                    continue
                if isinstance(news, BaseException):
                    raise news
                if isinstance(news, Made):
                    left -= 1
                    yield news
                    continue
                latest = news._replace(stopping=stop.is_set())
                yield latest
        finally:
            stop.set()  # also when the page was closed
            if self._stops.get(page) is stop:
                del self._stops[page]

    def stop(self, page: str) -> None:
        """Ends this page's edit, if one is going on."""
        stop = self._stops.get(page)
        if stop is not None:
            stop.set()

    def close(self) -> None:
        """Ends every page's edit and waits for its step, or the program would end within a model's pass."""
        for stop in list(self._stops.values()):
            stop.set()
        if self._lock.acquire(timeout=_LAST_STEP_S):
            self._lock.release()

    def _work(
        self, news_queue: "queue.SimpleQueue[News]", stop: threading.Event, jobs: Sequence[Job], strength: float
    ) -> None:
        with self._lock:
            try:
                for number, job in enumerate(jobs, start=1):
                    if stop.is_set():
                        raise EditStopped("stopped before it began")

                    def progress(done: int, of: int, number: int = number) -> None:
                        news_queue.put(Going(done, of, number))

                    news_queue.put(Going(0, 0, number))
                    edits = self._with(strength).edit(job.source, job.requests, progress, stop.is_set)
                    news_queue.put(Made(job.source, edits))
            except (MoodArchiveError, MemoryError, RuntimeError, ValueError, OSError) as error:
                news_queue.put(error)

    def _with(self, strength: float) -> Editor:
        """The editor at this strength; another strength loads the method anew, so that one model is held at a time."""
        if self.editor.method in GRADUAL and self.editor.settings.strength != strength:
            given = self.editor.settings.model_dump()
            settings = settings_with(self.editor.method, **{**given, **given.pop("iei"), "strength": strength})
            self.editor = replace(self.editor, settings=settings)
        return self.editor
