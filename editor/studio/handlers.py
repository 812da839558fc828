"""What the page's events do; every error of ours becomes a line on the page."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
from PIL import Image

from editor.content_credentials import Credentials, sign_edit
from editor.edit import EditStopped, Mask
from editor.job import EditResult
from editor.pictures import SourcePicture, read_picture
from editor.planning.plan import EditRequest
from editor.planning.regions import Box
from editor.provenance import EditRecord
from editor.studio.runs import Going, Job, Made, Runs
from editor.studio.work import THUMBNAIL_SIDE, Past, Work, shown, tinted
from moodarchive.emotions.taxonomy import words
from moodarchive.errors import EditError, MoodArchiveError

MOST_PHOTOS = 24
"""Photos that a page holds open at a time."""
MOST_EDITS = 32
"""Edits of one photo in one call: emotions times seeds."""


class Photo(NamedTuple):
    """An open photo; its name is known to this page alone."""

    sha256: str
    name: str


class Region(NamedTuple):
    """What a person marked on a photo before another one came under the brush."""

    strokes: bytes
    """A PNG whose alpha is what was painted; empty where nothing was."""
    boxes: str


Regions = dict[str, Region]
"""Of open photos that were left for another one, by their sha256."""
_NOTHING = Region(b"", "")


@dataclass(frozen=True, kw_only=True)
class Handlers:
    """Bound to one work folder and one editor."""

    work: Work
    runs: Runs
    credentials: Credentials | None = None
    """What saved edits are signed with."""

    def ready(self) -> str:
        """The first line of the page."""
        return line("Ready.")

    def open(  # noqa: PLR0917  the page passes its fields by position
        self,
        paths: list[str] | None,
        photos: list[Photo] | None,
        photo: str,
        painted: dict[str, Any] | None,
        boxes: str,
        regions: Regions | None,
    ) -> tuple[Any, ...]:
        """Uploads are read, kept without their metadata, and removed; a path elsewhere, which no page sends, is not.

        Each that cannot be read is told, the others are opened, and the last one is shown. The photo before keeps its
        strokes and boxes.
        """
        opened, problems, facts = list(photos or []), [], ""
        for path in paths or []:
            try:
                picture = self._read(path)
            except MoodArchiveError as error:
                problems.append(str(error).replace(path, Path(path).name))
                continue
            opened = [photo for photo in opened if photo.sha256 != picture.sha256]
            opened.append(Photo(picture.sha256, Path(path).name))
            width, height = picture.image.size
            facts = "; ".join((f"Opened: {width} x {height} pixels", *picture.notes)) + "."
        dropped = opened[:-MOST_PHOTOS]
        if dropped:
            problems.append(f"at most {MOST_PHOTOS} photos are open at a time; the oldest were closed")
        opened = opened[-MOST_PHOTOS:]
        status = line(" ".join((facts, *problems)).strip() or "Nothing was opened.", "bad" if problems else "plain")
        if not facts:
            return (opened, *(gr.skip(),) * 5, None, status)
        regions = _with_region(regions, photo, painted, boxes)
        regions = {each.sha256: regions[each.sha256] for each in opened if each.sha256 in regions}
        shown_photo = self._come_back(opened[-1].sha256, regions)
        return opened, *shown_photo, regions, self.thumbnails(opened), None, status

    def _read(self, path: str) -> SourcePicture:
        if not path or not Path(path).resolve().is_relative_to(self.work.uploads):
            raise EditError("that file was not uploaded here")
        try:
            picture = read_picture(path)
        finally:
            Path(path).unlink(missing_ok=True)
        self.work.keep_source(picture)
        return picture

    def _come_back(self, sha256: str, regions: Regions) -> tuple[str, dict[str, Any], str]:
        """A photo, its canvas with the strokes that it had, and its boxes."""
        strokes, boxes = regions.get(sha256, _NOTHING)
        layers = [Image.open(io.BytesIO(strokes))] if strokes else []
        return (
            sha256,
            {"background": shown(self.work.source(sha256).image), "layers": layers, "composite": None},
            boxes,
        )

    def thumbnails(self, photos: list[Photo]) -> list[tuple[Image.Image, str]]:
        """The open photos under the names that a person gave them, which stand nowhere else."""
        return [(shown(self.work.source(photo.sha256).image, THUMBNAIL_SIDE), photo.name) for photo in photos]

    def choose(  # noqa: PLR0917  the page passes its fields by position
        self,
        photos: list[Photo] | None,
        photo: str,
        painted: dict[str, Any] | None,
        boxes: str,
        regions: Regions | None,
        event: gr.SelectData,
    ) -> tuple[Any, ...]:
        """Another open photo comes under the brush, with its own strokes and boxes; the one before keeps its own."""
        if not (photos and isinstance(event.index, int) and 0 <= event.index < len(photos)):
            return (*(gr.skip(),) * 4, line("That photo is closed.", "bad"))
        if photos[event.index].sha256 == photo:
            return (*(gr.skip(),) * 4, line("Ready."))
        try:
            regions = _with_region(regions, photo, painted, boxes)
            return *self._come_back(photos[event.index].sha256, regions), regions, line("Ready.")
        except EditError as error:
            return (*(gr.skip(),) * 4, line(str(error), "bad"))

    def edit(  # noqa: PLR0917  the page passes its fields by position
        self,
        photos: list[Photo] | None,
        photo: str,
        regions: Regions | None,
        painted: dict[str, Any] | None,
        emotions: list[str],
        strength: float,
        prompt: str,
        region: str,
        boxes: str,
        scope: str,
        seed: float,
        seeds: float,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        """Status while it goes on; each picture's edits as they are made: the newest in full, all side by side."""
        keep = (gr.skip(),) * 7
        busy = gr.update(interactive=False), gr.update(interactive=True)
        idle = gr.update(interactive=True), gr.update(interactive=False)
        yield (line("Starting …", "busy"), *keep, *busy)
        made: list[Past] = []
        try:
            requests = _requests(emotions, prompt, region, boxes, seed, seeds)
            sources = [self.work.source(each) for each in self._in_scope(photos, photo, scope)]
            jobs = [
                Job(
                    source=source,
                    requests=_painted(requests, painted, source)
                    if source.sha256 == photo
                    else _as_kept(requests, (regions or {}).get(source.sha256, _NOTHING), source),
                )
                for source in sources
            ]
            for news in self.runs.run(str(request.session_hash), jobs, round(float(strength), 2)):
                if isinstance(news, Made):
                    past = [self.keep(edited) for edited in news.edits]
                    made += past
                    notes = dict.fromkeys(note for edited in news.edits for note in edited.plan.notes)
                    done = line("; ".join(("Done", *notes)) + ".", "good")
                    last = len(made) == sum(len(job.requests) for job in jobs)
                    view = self.view(done, news.source.image, news.edits[0].image, news.edits[0].plan.mask, past[0])
                    side_by_side = self._side_by_side(made)
                    yield (
                        *view,
                        side_by_side,
                        [each.path.name for each in made],
                        self.history(),
                        *(idle if last else busy),
                    )
                else:
                    status = line("Stopping …", "busy") if news.stopping else progress(news, len(jobs))
                    yield (status, *keep, *busy)
        except EditStopped:
            left = f"; {len(made)} finished edits are kept" if made else "; nothing was changed"
            yield (line(f"Stopped{left}."), *keep, *idle)
        except (MoodArchiveError, MemoryError, RuntimeError, ValueError, TypeError, OSError) as error:
            yield (line(str(error) or type(error).__name__, "bad"), *keep, *idle)

    def _in_scope(self, photos: list[Photo] | None, photo: str, scope: str) -> list[str]:
        if scope != "all" or not photos:
            return [photo]
        return [each.sha256 for each in photos]

    def stop(self, request: gr.Request) -> None:
        """Between two steps the edit ends; the edit's own event says so, or the last word could come from this one."""
        self.runs.stop(str(request.session_hash))

    def show(self, event: gr.SelectData) -> tuple[Any, ...]:
        """A past edit, as it was when it was made."""
        return self._show([past.path.name for past in self.work.history()], event.index, "From the history")

    def show_made(self, names: list[str] | None, event: gr.SelectData) -> tuple[Any, ...]:
        """One of the edits that stand side by side."""
        return self._show(names or [], event.index, "Of these edits")

    def _show(self, names: Sequence[str], index: Any, where: str) -> tuple[Any, ...]:
        past = self.work.past(names[index]) if isinstance(index, int) and 0 <= index < len(names) else None
        if past is None:
            return (line("That edit is gone.", "bad"), *(gr.skip(),) * 4)
        record = past.record
        try:
            before = self.work.source(record.source_sha256).image
            with Image.open(past.path, formats=("PNG",)) as image:
                after = image.convert("RGB")
        except (EditError, OSError) as error:
            return (line(str(error), "bad"), *(gr.skip(),) * 4)
        status = line(f"{where}: {words(record.emotion)}, seed {record.seed}.")
        return self.view(status, before, after, self.work.mask(record), past)

    def history(self) -> list[tuple[Image.Image, str]]:
        """Thumbnails with the emotion, the newest first."""
        return self._thumbnails(self.work.history(), lambda record: words(record.emotion))

    def _side_by_side(self, made: Sequence[Past]) -> list[tuple[Image.Image, str]]:
        return self._thumbnails(made, lambda record: f"{words(record.emotion)}, seed {record.seed}")

    def _thumbnails(self, past: Sequence[Past], caption: Callable[[EditRecord], str]) -> list[tuple[Image.Image, str]]:
        thumbnails = []
        for each in past:
            try:
                with Image.open(each.path, formats=("PNG",)) as image:
                    thumbnails.append((shown(image.convert("RGB"), THUMBNAIL_SIDE), caption(each.record)))
            except OSError:  # removed by hand meanwhile
                continue
        return thumbnails

    def keep(self, edited: EditResult) -> Past:
        return Past(path=self.work.keep(edited, edited.plan.mask), record=edited.record)

    def _saved(self, past: Past) -> Path:
        """The file to save: signed where the person's own certificate is at hand."""
        if self.credentials is None:
            return past.path
        signed = self.work.signed / past.path.name
        if not signed.exists():
            self.work.keep_signed(signed, sign_edit(past.path.read_bytes(), past.record, ".png", self.credentials))
        return signed

    def view(
        self, status: str, before: Image.Image, after: Image.Image, mask: Mask | None, past: Past
    ) -> tuple[Any, ...]:
        file = gr.update(value=str(self._saved(past)), interactive=True)
        return status, (shown(before), shown(after)), used(past.record), tinted(before, mask), file


def _requests(  # noqa: PLR0917  as the page passes them
    emotions: Any, prompt: str, region: str, boxes: str, seed: float, seeds: float
) -> tuple[EditRequest, ...]:
    """An edit for each emotion and each seed; EditError where there is none, or where there are too many."""
    chosen = [emotions] if isinstance(emotions, str) else list(emotions or [])
    if not chosen:
        raise EditError("no emotion is chosen; remedy: choose one or several on the wheel")
    count = max(1, int(seeds or 1))
    if len(chosen) * count > MOST_EDITS:
        raise EditError(
            f"{len(chosen)} emotions with {count} seeds are {len(chosen) * count} edits of a photo, the most is "
            f"{MOST_EDITS}; remedy: fewer of either"
        )
    whole = region == "whole"
    corners = () if whole else tuple(Box.parse(each) for each in str(boxes or "").split())
    return tuple(
        EditRequest(
            emotion=str(emotion), prompt=one_line(prompt), boxes=corners, whole=whole, seed=int(seed or 0) + more
        )
        for emotion in chosen
        for more in range(count)
    )


def _painted(
    requests: tuple[EditRequest, ...], painted: dict[str, Any] | None, source: SourcePicture
) -> tuple[EditRequest, ...]:
    """With what was painted as the region; the brush stands above boxes, and "all of the picture" above both."""
    mask = None if requests[0].whole else painted_mask(painted, source.image.size)
    return requests if mask is None else tuple(replace(request, mask=mask, boxes=()) for request in requests)


def _with_region(regions: Regions | None, photo: str, painted: dict[str, Any] | None, boxes: str) -> Regions:
    """The regions with what is painted on the photo that is shown now."""
    layers = [layer for layer in (painted or {}).get("layers") or [] if isinstance(layer, Image.Image)]
    strokes = b""
    if layers and any(layer.convert("RGBA").getchannel("A").getextrema()[1] for layer in layers):
        whole = Image.new("RGBA", layers[0].size)
        for layer in layers:
            whole.alpha_composite(layer.convert("RGBA").resize(whole.size))
        sink = io.BytesIO()
        whole.save(sink, "PNG", compress_level=1)
        strokes = sink.getvalue()
    return {**(regions or {}), **({photo: Region(strokes, str(boxes or ""))} if photo else {})}


def _as_kept(requests: tuple[EditRequest, ...], region: Region, source: SourcePicture) -> tuple[EditRequest, ...]:
    """With the strokes and boxes that another open photo was left with; where there are none, as asked for."""
    if requests[0].whole:
        return requests
    if region.boxes.strip():
        corners = tuple(Box.parse(each) for each in region.boxes.split())
        requests = tuple(replace(request, boxes=corners) for request in requests)
    if not region.strokes:
        return requests
    with Image.open(io.BytesIO(region.strokes)) as strokes:
        return _painted(requests, {"layers": [strokes]}, source)


def painted_mask(painted: dict[str, Any] | None, size: tuple[int, int]) -> Mask | None:
    """[H, W] at ``size`` from the brush's layers; None where nothing was painted."""
    layers = (painted or {}).get("layers") or []
    strokes = [layer.convert("RGBA").getchannel("A") for layer in layers if isinstance(layer, Image.Image)]
    if not strokes or not any(stroke.getextrema()[1] for stroke in strokes):
        return None
    alphas = [np.asarray(stroke.resize(size, Image.Resampling.BOX)) for stroke in strokes]
    mask: Mask = (np.maximum.reduce(alphas) >= 64).astype(np.float32)
    return mask if mask.any() else None


def one_line(text: str) -> str:
    """A pasted text's line breaks are spaces."""
    return " ".join(str(text or "").split())


def line(text: str, kind: str = "plain") -> str:
    """A line of status; whatever it says is text, never markup."""
    return f'<div class="line {kind}" role="status">{escape(text)}</div>'


def progress(going: Going, pictures: int) -> str:
    """A bar; without a length while prompt and region are sought."""
    which = f"Photo {going.picture} of {pictures}: " if pictures > 1 else ""
    if not going.of:
        return line(f"{which}Looking at the photo and loading the models …", "busy")
    bar = f'<progress value="{going.done}" max="{going.of}" aria-label="steps done"></progress>'
    return f'<div class="line busy" role="status">{which}Step {going.done} of {going.of} {bar}</div>'


def used(record: EditRecord) -> str:
    """Prompt, region and settings of an edit."""
    facts = {
        "emotion": words(record.emotion),
        f"prompt ({record.prompt_by})": record.prompt,
        "region": record.region_by if record.mask_sha256 else "everywhere",
        "method": f"{record.method}, strength {record.settings.get('strength')}, seed {record.seed}",
        "file": record.statement.lower() + "; says so in its metadata",
    }
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
    return f'<dl class="used">{rows}</dl>'
