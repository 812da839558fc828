"""The studio's conversation: a line in plain words, an edit of the last picture, and the way back."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any, NamedTuple

import gradio as gr
from PIL import Image

from editor.edit import GRADUAL, OF_THE_EIGHT, EditStopped
from editor.pictures import SourcePicture, read_picture
from editor.planning.faces import face_boxes
from editor.planning.instructions import LONGEST, UNDERSTOOD, Wish, read_wish
from editor.planning.plan import EditRequest, Planner
from editor.planning.regions import box_mask
from editor.planning.served_wish import ServedWishReader
from editor.studio.handlers import Handlers, line, one_line, progress
from editor.studio.runs import Job, Made
from editor.studio.work import Past, shown
from moodarchive.emotions.taxonomy import EMOTIONS, MIKELS, words
from moodarchive.errors import EditError, MoodArchiveError, RowError

MOST_TURNS = 60
"""Turns that a conversation keeps; the oldest fall away."""
STEP = 0.25
"""What "more" and "less" change of the strength."""
LEAST, MOST = 0.1, 1.0
_SIDE = 96
_FACES = ("face", "faces", "head", "heads", "portrait")


class Turn(NamedTuple):
    """A line, what was answered, and the picture that stands after it."""

    said: str
    answer: str
    picture: str = ""
    """The edit's file name; empty for the photo itself."""
    wish: Wish | None = None
    """Of an edit, so that more or less of it can be asked for."""
    strength: float = 1.0
    taken_back: bool = False


Turns = list[Turn]


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """Bound to the page's handlers; ``served`` understands lines where a model is served."""

    handlers: Handlers
    served: ServedWishReader | None = None

    def say(  # noqa: PLR0917  the page passes its fields by position
        self, photo: str, turns: Turns | None, text: str, strength: float, seed: float, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """Status while it goes on, then the conversation with its new turn and the edit in full."""
        said, turns = one_line(text)[:LONGEST], list(turns or [])
        keep = (gr.skip(),) * 5  # before and after, what was used, the region, the file, the history
        busy = gr.update(interactive=False), gr.update(interactive=True)
        idle = gr.update(interactive=True), gr.update(interactive=False)
        yield (line("Reading …", "busy"), *keep, turns, gr.skip(), gr.skip(), *busy)
        view: tuple[Any, ...] = (line("Ready."), *keep)
        try:
            if not said:
                raise EditError(f"nothing was written; understood are {UNDERSTOOD}")
            self.handlers.work.source(photo)
            wish, notes = self._read(said)
            if wish.kind == "unclear":
                answer = "; ".join((f"Not understood. Understood are {UNDERSTOOD}", *notes))
                turns.append(Turn(said, answer, _last(turns)))
            elif wish.kind == "undo":
                turns = _take_back(turns, said)
                view = self._view(photo, turns[-1].picture)
            else:
                gradual = self.handlers.runs.editor.method in GRADUAL
                wish, source, chosen = _resolve(wish, turns, float(strength), gradual=gradual)
                emotion, more = self._emotion(wish.emotion)
                last = self._picture(photo, source)
                edit_request, of_region = self._request(last, wish, emotion, said, int(seed or 0))
                job = Job(source=last, requests=(edit_request,))
                for news in self.handlers.runs.run(str(request.session_hash), [job], chosen):
                    if isinstance(news, Made):
                        past = self.handlers.keep(news.edits[0])
                        made = news.edits[0]
                        answer = words(emotion).capitalize() + (f", strength {chosen:g}" if gradual else "")
                        facts = (answer, *notes, *more, *of_region, *made.plan.notes)
                        turns.append(Turn(said, "; ".join(facts) + ".", past.path.name, wish, chosen))
                        view = self._view(photo, past.path.name)
                    else:
                        status = line("Stopping …", "busy") if news.stopping else progress(news, 1)
                        yield (status, *keep, turns, gr.skip(), gr.skip(), *busy)
        except EditStopped:
            turns.append(Turn(said, "Stopped; nothing was changed.", _last(turns)))
        except (MoodArchiveError, MemoryError, RuntimeError, ValueError, TypeError, OSError) as error:
            turns.append(Turn(said, str(error) or type(error).__name__, _last(turns)))
            view = (line(str(error) or type(error).__name__, "bad"), *keep)
        turns = turns[-MOST_TURNS:]
        yield (*view, turns, self.show(turns), "", *idle)

    def take_back(self, photo: str, turns: Turns | None) -> tuple[Any, ...]:
        """The last change, by the button."""
        turns = list(turns or [])
        try:
            turns = _take_back(turns, "Take back")
            view = self._view(photo, turns[-1].picture)
        except (EditError, OSError) as error:
            view = (line(str(error), "bad"), *(gr.skip(),) * 5)
        turns = turns[-MOST_TURNS:]
        return (*view, turns, self.show(turns))

    def begin_anew(self) -> tuple[Turns, str]:
        """Another photo, another conversation."""
        return [], self.show([])

    def show(self, turns: Sequence[Turn]) -> str:
        """All turns; whatever they say is text, never markup."""
        if not turns:
            return '<p class="hint">Nothing said yet.</p>'
        rows = []
        for number, turn in enumerate(turns, 1):
            picture = self._thumbnail(turn, number) if turn.wish and not turn.taken_back else ""
            rows.append(
                f'<li><p class="said">{escape(turn.said)}</p><div class="answer{" taken" if turn.taken_back else ""}">'
                f"{picture}<p>{escape(turn.answer)}{' (taken back)' if turn.taken_back else ''}</p></div></li>"
            )
        # it scrolls, so that the keyboard must reach it
        return f'<div class="turns" role="log" aria-label="Conversation" tabindex="0"><ol>{"".join(rows)}</ol></div>'

    def _thumbnail(self, turn: Turn, number: int) -> str:
        past = self.handlers.work.past(turn.picture)
        if past is None:
            return ""
        held = io.BytesIO()
        with Image.open(past.path, formats=("PNG",)) as image:
            shown(image.convert("RGB"), _SIDE).save(held, "JPEG", quality=80)
        data = base64.b64encode(held.getvalue()).decode()
        return f'<img alt="picture after turn {number}" src="data:image/jpeg;base64,{data}">'

    def _read(self, said: str) -> tuple[Wish, tuple[str, ...]]:
        """By the served model where there is one; by our own rules where it does not answer or there is none."""
        if self.served is None:
            return read_wish(said), ()
        try:
            return self.served.read(said), ()
        except RowError as error:
            why = f"gave no usable answer ({error.kind})"
        except MoodArchiveError:
            why = "did not answer"
        return read_wish(said), (f"the served model {why}, so that plain rules read the line",)

    def _emotion(self, wanted: str) -> tuple[str, tuple[str, ...]]:
        """As the method knows it: Mikels' eight have two that the 27 lack."""
        if wanted in EMOTIONS or self.handlers.runs.editor.method in OF_THE_EIGHT:
            return wanted, ()
        near = next(name for name in EMOTIONS if MIKELS.get(name) == wanted)
        return near, (f"{wanted} is taken as {words(near)}",)

    def _request(
        self, source: SourcePicture, wish: Wish, emotion: str, said: str, seed: int
    ) -> tuple[EditRequest, tuple[str, ...]]:
        """What is asked of the editor, and what is to be said of the region."""
        request = EditRequest(emotion=emotion, seed=seed, whole=wish.region == "*")
        if self.handlers.runs.editor.method == "epem" and read_wish(said).emotion == emotion:
            request = replace(request, instruction=said)
        if wish.region in ("", "*"):
            return request, ()
        mask = find_region(self.handlers.runs.editor.planner, source, wish.region)
        if mask is None:
            return request, (f"nobody here can find {wish.region!r} in a picture",)
        return replace(request, mask=mask), (f"only {wish.region}",)

    def _picture(self, photo: str, name: str) -> SourcePicture:
        """An edit of this conversation as the next one's source, or the photo."""
        if not name:
            return self.handlers.work.source(photo)
        past = self.handlers.work.past(name)
        if past is None:
            raise EditError("the last picture is no longer in the work folder; remedy: open the photo again")
        picture = read_picture(past.path)
        self.handlers.work.keep_source(picture)
        return picture

    def _view(self, photo: str, name: str) -> tuple[Any, ...]:
        """The photo that the conversation began with, and what it has come to."""
        history = self.handlers.history()
        past: Past | None = self.handlers.work.past(name) if name else None
        before = self.handlers.work.source(photo).image
        if past is None:
            both, nothing = (shown(before), shown(before)), gr.update(interactive=False)
            return (line("Back at the photo."), both, "", None, nothing, history)
        with Image.open(past.path, formats=("PNG",)) as image:
            after = image.convert("RGB")
        done = line("Done.", "good")
        return (*self.handlers.view(done, before, after, self.handlers.work.mask(past.record), past), history)


def find_region(planner: Planner, source: SourcePicture, text: str) -> Any:
    """The mask of a region in a person's words, by the face detector or MoodifyCLIP; None where neither finds it."""
    if text.rsplit(maxsplit=1)[-1].casefold() in _FACES and (faces := face_boxes(source.image)):
        return box_mask(faces, source.image.size)
    return planner.lexicon().where(source.image, text) if planner.lexicon else None


def _last(turns: Sequence[Turn]) -> str:
    return turns[-1].picture if turns else ""


def _resolve(wish: Wish, turns: Sequence[Turn], strength: float, *, gradual: bool = True) -> tuple[Wish, str, float]:
    """The emotion, the picture that is edited and the strength.

    An emotion edits the last picture. More and less of the last change make it anew from the picture before it, with
    another strength; more than all is the change once again, of the last picture. EditError where there is none, and
    for less of a change by a method that is not ``gradual``: it makes each edit whole.
    """
    if not gradual:
        if wish.kind == "weaker":
            raise EditError("this method knows no strength, so that there is no less of a change; remedy: undo")
        wish, strength = replace(wish, change=max(0, wish.change)), MOST
    chosen = min(MOST, max(LEAST, round(strength + STEP * wish.change, 2)))
    if wish.kind == "edit":
        return wish, _last(turns), chosen
    at = next((at for at in reversed(range(len(turns))) if turns[at].wish and not turns[at].taken_back), None)
    if at is None:
        raise EditError(f"there is no change yet of which there could be {'more' if wish.change > 0 else 'less'}")
    last = turns[at]
    assert last.wish is not None
    again = replace(last.wish, region=wish.region or last.wish.region)
    if wish.change > 0 and last.strength >= MOST:
        return again, last.picture, MOST
    chosen = min(MOST, max(LEAST, round(last.strength + STEP * wish.change, 2)))
    return again, _before(turns, at), chosen


def _before(turns: Sequence[Turn], at: int) -> str:
    """The picture that stood before a turn."""
    return turns[at - 1].picture if at else ""


def _take_back(turns: Turns, said: str) -> Turns:
    """The last change that stands is taken back; EditError where there is none."""
    at = next((at for at in reversed(range(len(turns))) if turns[at].wish and not turns[at].taken_back), None)
    if at is None:
        raise EditError("there is no change to take back")
    earlier = next((turn.picture for turn in reversed(turns[:at]) if turn.wish and not turn.taken_back), "")
    marked = [*turns[:at], turns[at]._replace(taken_back=True), *turns[at + 1 :]]
    return [*marked, Turn(said, "The last change is taken back.", earlier)]
