"""Edits that go on while the page looks on: each in a thread, with its progress, and a way to stop it."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from editor.edit import EditStopped
from editor.job import Editor, EditResult, settings_with
from editor.pictures import SourcePicture
from editor.planning.plan import EditRequest
from moodarchive.errors import MoodArchiveError

_LOOK_S = 0.2


class Going(NamedTuple):
    """Steps done of all; (0, 0) while models are loaded and prompt and region are sought."""

    done: int
    of: int
    stopping: bool = False


@dataclass(kw_only=True)
class Runs:
    """One editor, one edit at a time; ``stop`` ends the edit of one page and no other."""

    editor: Editor
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stops: dict[str, threading.Event] = field(default_factory=dict)

    def run(
        self, page: str, source: SourcePicture, request: EditRequest, strength: float
    ) -> Iterator[Going | EditResult]:
        """Progress again and again, then the edit. EditStopped, or the error of the edit."""
        stop = self._stops[page] = threading.Event()
        news_queue: queue.SimpleQueue[Going | EditResult | BaseException] = queue.SimpleQueue()
        thread = threading.Thread(target=self._work, args=(news_queue, stop, source, request, strength), daemon=True)
        thread.start()
        try:
            latest = Going(0, 0)
            while True:
                try:
                    news = news_queue.get(timeout=_LOOK_S)
                except queue.Empty:
                    yield latest._replace(stopping=stop.is_set())
                    continue
                if isinstance(news, BaseException):
                    raise news
                if isinstance(news, EditResult):
                    yield news
                    return
                latest = news._replace(stopping=stop.is_set())
                yield latest
        finally:
            stop.set()  # also when the page was closed
            self._stops.pop(page, None)

    def stop(self, page: str) -> None:
        """Ends this page's edit, if one is going on."""
        stop = self._stops.get(page)
        if stop is not None:
            stop.set()

    def _work(
        self,
        news_queue: "queue.SimpleQueue[Going | EditResult | BaseException]",
        stop: threading.Event,
        source: SourcePicture,
        request: EditRequest,
        strength: float,
    ) -> None:
        with self._lock:
            try:
                if stop.is_set():
                    raise EditStopped("stopped before it began")
                editor = self._with(strength)
                (made,) = editor.edit(source, [request], lambda done, of: news_queue.put(Going(done, of)), stop.is_set)
                news_queue.put(made)
            except (MoodArchiveError, MemoryError, RuntimeError, ValueError, OSError) as error:
                news_queue.put(error)

    def _with(self, strength: float) -> Editor:
        """The editor at this strength; another strength loads the method anew, so that one model is held at a time."""
        if self.editor.settings.strength != strength:
            settings = settings_with(self.editor.method, **{**self.editor.settings.model_dump(), "strength": strength})
            self.editor = replace(self.editor, settings=settings)
        return self.editor
