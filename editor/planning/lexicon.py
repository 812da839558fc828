"""Prompt and region without a second model: the lexicon, and where in the picture MoodifyCLIP finds it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from editor.edit import Mask
from moodarchive.emotions.lexicon import load_lexicon
from moodarchive.emotions.taxonomy import CONTEXTS, Cell, words
from moodarchive.models.clip import ClipEncoder

PHRASES = 3
LEAST_AREA, MOST_AREA = 0.05, 0.6
"""Shares of the picture between which a region must lie: less is a spot, more is no region."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class LexiconPlan:
    """What the model finds: the context that the picture belongs to, the phrases that fit, and where they do."""

    context: str
    phrases: tuple[str, ...]
    mask: Mask


@dataclass(kw_only=True)
class LexiconPlanner:
    """Reads a picture with an exported MoodifyCLIP; the phrases of an emotion are embedded once."""

    encoder: ClipEncoder
    _texts: dict[str, Mapping[str, tuple[Sequence[str], Floats]]] = field(default_factory=dict)

    def read(self, image: Image.Image, emotion: str) -> LexiconPlan:
        """The context is that whose phrases of the emotion are nearest to the picture on average."""
        looks: Floats = self.encoder.images([image])[0]
        phrases = self._phrases(emotion)
        context = max(CONTEXTS, key=lambda each: float((phrases[each][1] @ looks).mean()))
        texts, vectors = phrases[context]
        nearest = np.argsort(-(vectors @ looks), kind="stable")[:PHRASES]
        near = self.encoder.patches(image) @ vectors[nearest].T  # [rows, columns, PHRASES]
        return LexiconPlan(
            context=context,
            phrases=tuple(texts[i] for i in nearest),
            mask=region_of(near.mean(axis=2), image.size),
        )

    def where(self, image: Image.Image, text: str) -> Mask:
        """The region of the picture that is nearest to a few words."""
        vector = self.encoder.texts([text])[0]
        return region_of(np.asarray(self.encoder.patches(image) @ vector, np.float32), image.size)

    def _phrases(self, emotion: str) -> Mapping[str, tuple[Sequence[str], Floats]]:
        if emotion not in self._texts:
            lexicon = load_lexicon()
            listed = {context: lexicon[Cell(emotion, context)] for context in CONTEXTS}
            vectors = self.encoder.texts([phrase for context in CONTEXTS for phrase in listed[context]])
            ends = np.cumsum([len(listed[context]) for context in CONTEXTS])[:-1]
            parts = np.split(vectors, ends)
            self._texts[emotion] = {c: (listed[c], part) for c, part in zip(CONTEXTS, parts, strict=True)}
        return self._texts[emotion]


def open_clip_folder(model: str) -> str | None:
    """Where an exported MoodifyCLIP has its picture tower: ``model``, a root's model/, or beside hub/; else None."""
    folder = Path(model).expanduser()
    folders = (folder, folder / "model", folder.parent)
    return next((str(folder) for folder in folders if (folder / "open_clip_config.json").is_file()), None)


def region_of(near: Floats, size: tuple[int, int]) -> Mask:
    """[rows, columns] of similarities become a hard mask at ``size`` (width, height).

    Otsu's threshold parts near patches from far ones; where that gives a spot or nearly everything, the share of the
    picture is held between the bounds. A flat map, which tells nothing, gives everything.
    """
    import cv2

    spread = float(np.ptp(near))
    if spread < 1e-6:
        return np.ones((size[1], size[0]), np.float32)
    levels = ((near - near.min()) / spread * 255).round().astype(np.uint8)
    smooth = cv2.resize(levels, size, interpolation=cv2.INTER_LINEAR)
    threshold, _ = cv2.threshold(smooth, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    lowest, highest = np.quantile(smooth, [1 - MOST_AREA, 1 - LEAST_AREA])
    held = min(max(threshold, lowest), highest)
    chosen = smooth > held
    return np.asarray(chosen if chosen.any() else smooth >= held, np.float32)


def prompt_of(emotion: str, phrases: Sequence[str]) -> str:
    """What the edited picture shall show; without phrases, the emotion alone."""
    sentence = f"A photo that evokes {words(emotion)}"
    return f"{sentence}: {', '.join(phrases)}." if phrases else f"{sentence}."
