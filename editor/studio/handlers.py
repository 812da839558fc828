"""What the page's events do; every error of ours becomes a line on the page."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from editor.edit import EditStopped, Mask
from editor.job import EditResult
from editor.pictures import read_picture
from editor.planning.plan import EditRequest
from editor.provenance import EditRecord
from editor.studio.runs import Runs
from editor.studio.work import THUMBNAIL_SIDE, Past, Work, shown, tinted
from moodarchive.emotions.taxonomy import words
from moodarchive.errors import EditError, MoodArchiveError


@dataclass(frozen=True, kw_only=True)
class Handlers:
    """Bound to one work folder and one editor."""

    work: Work
    runs: Runs

    def ready(self) -> str:
        """The first line of the page."""
        return line("Ready.")

    def open(self, path: str) -> tuple[Any, ...]:
        """The upload is read, kept without its metadata, and removed; a path elsewhere, which no page sends, is not."""
        try:
            if not path or not Path(path).resolve().is_relative_to(self.work.uploads):
                raise EditError("that file was not uploaded here")
            try:
                picture = read_picture(path)
            finally:
                Path(path).unlink(missing_ok=True)
            self.work.keep_source(picture)
        except MoodArchiveError as error:
            return "", None, line(str(error).replace(path, Path(path).name), "bad")
        width, height = picture.image.size
        facts = "; ".join((f"{width} x {height} pixels", *picture.notes))
        value = {"background": shown(picture.image), "layers": [], "composite": None}
        return picture.sha256, value, line(f"Opened: {facts}.")

    def edit(  # noqa: PLR0917  the page passes its fields by position
        self,
        photo: str,
        painted: dict[str, Any] | None,
        emotion: str,
        strength: float,
        prompt: str,
        region: str,
        seed: float,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        """Status while it goes on; then before and after, what was used, the file, and the history."""
        keep = (gr.skip(),) * 5
        busy, idle = (
            (gr.update(interactive=False), gr.update(interactive=True)),
            (
                gr.update(interactive=True),
                gr.update(interactive=False),
            ),
        )
        yield (line("Starting …", "busy"), *keep, *busy)
        try:
            source = self.work.source(photo)
            mask = None if region == "whole" else painted_mask(painted, source.image.size)
            wanted = EditRequest(
                emotion=emotion, prompt=one_line(prompt), mask=mask, whole=region == "whole", seed=int(seed or 0)
            )
            for news in self.runs.run(str(request.session_hash), source, wanted, round(float(strength), 2)):
                if isinstance(news, EditResult):
                    made = self._made(source.image, news)
                    yield (*made, self.history(), *idle)
                else:
                    yield (line("Stopping …", "busy") if news.stopping else progress(news.done, news.of), *keep, *busy)
        except EditStopped:
            yield (line("Stopped; nothing was changed."), *keep, *idle)
        except (MoodArchiveError, MemoryError, RuntimeError, ValueError, OSError) as error:
            yield (line(str(error) or type(error).__name__, "bad"), *keep, *idle)

    def stop(self, request: gr.Request) -> None:
        """Between two steps the edit ends; the edit's own event says so, or the last word could come from this one."""
        self.runs.stop(str(request.session_hash))

    def show(self, event: gr.SelectData) -> tuple[Any, ...]:
        """A past edit, as it was when it was made."""
        past = self.work.history()
        if not (isinstance(event.index, int) and 0 <= event.index < len(past)):
            return (line("That edit is gone.", "bad"), *(gr.skip(),) * 4)
        chosen = past[event.index]
        try:
            before = self.work.source(chosen.record.source_sha256).image
            with Image.open(chosen.path, formats=("PNG",)) as image:
                after = image.convert("RGB")
        except (EditError, OSError) as error:
            return (line(str(error), "bad"), *(gr.skip(),) * 4)
        region = self.work.mask(chosen.record)
        return self._view(
            line(f"From the history: {escape(words(chosen.record.emotion))}."), before, after, region, chosen
        )

    def history(self) -> list[tuple[Image.Image, str]]:
        """Thumbnails with the emotion, the newest first."""
        thumbnails = []
        for past in self.work.history():
            with Image.open(past.path, formats=("PNG",)) as image:
                thumbnails.append((shown(image.convert("RGB"), THUMBNAIL_SIDE), words(past.record.emotion)))
        return thumbnails

    def _made(self, before: Image.Image, edited: EditResult) -> tuple[Any, ...]:
        plan = edited.plan
        path = self.work.keep(edited, plan.mask)
        done = line("; ".join(("Done", *plan.notes)) + ".", "good")
        past = Past(path=path, record=edited.record)
        return self._view(done, before, edited.image, plan.mask, past)

    def _view(
        self, status: str, before: Image.Image, after: Image.Image, mask: Mask | None, past: Past
    ) -> tuple[Any, ...]:
        file = gr.update(value=str(past.path), interactive=True)
        return status, (shown(before), shown(after)), used(past.record), tinted(before, mask), file


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


def progress(done: int, of: int) -> str:
    """A bar; without a length while prompt and region are sought."""
    if not of:
        return line("Looking at the photo and loading the models …", "busy")
    bar = f'<progress value="{done}" max="{of}"></progress>'
    return f'<div class="line busy" role="status">Step {done} of {of} {bar}</div>'


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
