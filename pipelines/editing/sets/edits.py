"""The pictures of a set: read from a folder, edited by a method, drawn, measured against the filter, encoded."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from PIL import Image

from moodarchive.emotions.taxonomy import MIKELS_EIGHT
from moodarchive.errors import DatasetError, PictureError, RowError
from moodarchive.storage.inner_path import is_inner_path
from pipelines.editing.sets.settings import FilterSettings, MakerSettings


def read_below(folder: str, name: str) -> Image.Image:
    """The picture; RowError where it is missing or broken, DatasetError where its path leads out of the folder."""
    from editor.pictures import read_picture

    path = Path(folder).expanduser() / require_inner(name)
    if not path.is_file():
        raise RowError("missing_picture", f"{path} is not there")
    try:
        return read_picture(path).image
    except PictureError as error:
        raise RowError("bad_picture", str(error)) from None


def require_inner(name: str) -> str:
    """The path; DatasetError where it leads out of its folder."""
    if not is_inner_path(name):
        raise DatasetError(f"{name[:120]!r} leads out of its folder")
    return name


def draw_side(recipe: Mapping[str, Any], side: str) -> Image.Image:
    """The drawing of a recipe before (``source``) or after (``target``) the change."""
    from pipelines.demo.pairs.drawing import draw_paired
    from pipelines.demo.pairs.moods import Mood

    kind, place, size = recipe["drawn"]
    return draw_paired(kind, place, Mood(*recipe[side]), size).image


def encode_png(image: Image.Image) -> bytes:
    """Without loss, and without anything but the pixels."""
    sink = io.BytesIO()
    Image.frombytes("RGB", image.size, image.tobytes()).save(sink, "PNG", compress_level=6)
    return sink.getvalue()


@dataclass(kw_only=True)
class PictureEditor:
    """Edits pictures as the settings say; the method is loaded with the first picture, and once a process."""

    maker: MakerSettings

    def edit(self, image: Image.Image, *, prompt: str, emotion: str, seed: int) -> Image.Image:
        """The edited picture."""
        from editor.edit import Edit

        edit = Edit(image=image, prompt=prompt, emotion=emotion, seed=seed)
        (edited,) = self._method.edit([edit], lambda done, total: None, lambda: False)
        return cast(Image.Image, edited)

    @cached_property
    def _method(self) -> Any:
        from editor.tools import Tools, make_editor
        from pipelines.demo.bundled_base import with_bundled_base

        maker = self.maker
        settings = {"steps": maker.steps or None, "size": maker.size or None, "rounds": maker.rounds or None}
        tools = Tools(method=maker.method, base=maker.base, model=maker.model, settings=settings)
        return make_editor(with_bundled_base(tools)).loaded


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of an edit; None where nothing measures it."""

    target_softmax: Sequence[float] | None = None
    clip_image: float | None = None
    clip_text: float | None = None


@dataclass(kw_only=True)
class EditJudge:
    """Measures edits by a predictor (empty: none) and a CLIP, and says why one is left out."""

    predictor: str
    rules: FilterSettings

    def measure(self, source: Image.Image, edited: Image.Image, text: str) -> Measured:
        """All that the settings name models for."""
        softmax = self.distribution(edited) if self.predictor else None
        image, words = self.cosines((source, edited), text) if self.rules.clip else (None, None)
        return Measured(target_softmax=softmax, clip_image=image, clip_text=words)

    def reason(self, measured: Measured, target: str) -> str:
        """Why an edit towards the target is left out; empty where it is kept."""
        rules = self.rules
        if measured.clip_image is not None and not rules.image_low <= measured.clip_image <= rules.image_high:
            return "clip_image"
        if measured.clip_text is not None and measured.clip_text <= rules.text:
            return "clip_text"
        if measured.target_softmax is None:
            return ""
        if likeliest(measured.target_softmax) != target:
            return "not_the_target"
        sure = measured.target_softmax[MIKELS_EIGHT.index(target)]
        return "probability" if sure <= rules.probability else ""

    def distribution(self, image: Image.Image) -> list[float]:
        """The predictor's, over the eight."""
        import numpy as np
        import torch

        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
        return [float(value) for value in self._opened.probabilities(pixels)[0].double()]

    @cached_property
    def _opened(self) -> Any:
        from moodarchive.diffusion.predictor import open_predictor
        from moodarchive.models.device import choose_device

        return open_predictor(Path(self.predictor).expanduser(), choose_device())

    def cosines(self, sides: Sequence[Image.Image], text: str) -> tuple[float, float]:
        """Of the two pictures, and of the second and the text."""
        source, target = self._clip.images(list(sides))
        (words,) = self._clip.texts([text])
        return float(source @ target), float(target @ words)

    @cached_property
    def _clip(self) -> Any:
        from moodarchive.models.clip import ClipEncoder

        return ClipEncoder(model=self.rules.clip, pretrained=self.rules.clip_pretrained)


def likeliest(distribution: Sequence[float] | None) -> str | None:
    """The class of the greatest probability; None of nothing."""
    if distribution is None:
        return None
    return MIKELS_EIGHT[max(range(len(MIKELS_EIGHT)), key=lambda index: distribution[index])]
