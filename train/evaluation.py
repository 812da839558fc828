"""How well a CLIP names the emotions of a sealed set's pictures, and finds pictures and captions for each other."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from statistics import fmean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from moodarchive.captions import caption_text
from moodarchive.clip import ClipEncoder, Embeddings
from moodarchive.errors import ConfigError
from moodarchive.spans import member_span
from moodarchive.store import Store
from moodarchive.taxonomy import EKMAN, EMOTIONS, SENTIMENT, words
from train.archive import SealedArchive

FOLDS = 5
FOLD_PAIRS = 1000
"""Retrieval is measured on 5 disjoint folds of 1,000 pairs (inferred from the paper's 5 folds and MoodArchive-5k)."""
RECALLS = (1, 5, 10)
TEMPLATES = ("an image that evokes {}", "a photo that evokes {}", "a picture full of {}", "a scene of {}", "{}")
_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A mean in per cent and its standard deviation over folds; ``chance`` is what guessing gives."""

    mean: float
    deviation: float
    chance: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Figures by name, and of how many pictures and folds they are."""

    model: str
    pictures: int
    folds: int
    figures: Mapping[str, Figure]


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """A set as one CLIP sees it: unit vectors of its pictures and captions, and each picture's searched emotion."""

    images: Embeddings
    captions: Embeddings
    emotions: Sequence[str]


def evaluate(archive: SealedArchive, encoder: ClipEncoder, *, seed: int = 0) -> Evaluation:
    """Zero-shot classification and retrieval over seeded folds. ConfigError for a set of under two pictures."""
    found = embedded(archive, encoder)
    total = len(found.emotions)
    if total < 2:
        raise ConfigError(f"{archive.root} has {total} such pictures, too few to measure on; remedy: another --set")
    order = np.random.default_rng(seed).permutation(total)
    folds = [fold for fold in np.array_split(order, FOLDS) if len(fold) > 1] if total >= 2 * FOLDS else [order]
    prompts = emotion_embeddings(encoder)
    figures = {
        **_classification(found, prompts, folds),
        **_retrieval(found, [fold[:FOLD_PAIRS] for fold in folds]),
    }
    return Evaluation(model=encoder.model, pictures=total, folds=len(folds), figures=figures)


def emotion_embeddings(encoder: ClipEncoder) -> Embeddings:
    """[27, D]: each emotion's templates, averaged and of length 1."""
    prompts = [template.format(words(emotion)) for emotion in EMOTIONS for template in TEMPLATES]
    means = encoder.texts(prompts).reshape(len(EMOTIONS), len(TEMPLATES), -1).mean(axis=1)
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), dtype=np.float32)


def embedded(archive: SealedArchive, encoder: ClipEncoder) -> Embedded:
    """Every picture and caption of the set, a bounded number at a time."""
    images, captions, emotions = [], [], []
    for batch in _batches(archive):
        images.append(encoder.images([picture for picture, _ in batch]))
        captions.append(encoder.texts([_caption(told) for _, told in batch]))
        emotions += [str(told["emotion"]) for _, told in batch]
    return Embedded(images=np.concatenate(images), captions=np.concatenate(captions), emotions=emotions)


def _batches(archive: SealedArchive) -> Iterator[list[tuple[Image.Image, dict[str, Any]]]]:
    waiting: list[tuple[Image.Image, dict[str, Any]]] = []
    for shard in archive.shards:
        store, columns = Store(shard.root), shard.rows()
        with store.open_read(shard.tar) as tar:
            for values in zip(*columns.values(), strict=True):
                row = dict(zip(columns, values, strict=True))
                picture, told = (member_span(row, name).read(tar) for name in ("jpg", "json"))
                waiting.append((Image.open(BytesIO(picture)).convert("RGB"), json.loads(told)))
                if len(waiting) == _AT_ONCE:
                    yield waiting
                    waiting = []
    if waiting:
        yield waiting


def _caption(told: Mapping[str, Any]) -> str:
    return caption_text(told["summary"], told["stimuli"], told["assessment"])


def _classification(found: Embedded, prompts: Embeddings, folds: Sequence[npt.NDArray[np.int64]]) -> dict[str, Figure]:
    """Top-1 in per cent: all 27 emotions, and the same guesses told by Ekman's six and by sentiment."""
    guesses = [EMOTIONS[place] for place in (found.images @ prompts.T).argmax(axis=1)]
    figures = {}
    for name, grouping in (("emotions", None), ("ekman", EKMAN), ("sentiment", SENTIMENT)):
        told = [grouping[emotion] if grouping else emotion for emotion in found.emotions]
        guessed = [grouping[emotion] if grouping else emotion for emotion in guesses]
        hits = np.array([one == other for one, other in zip(told, guessed, strict=True)])
        groups = {emotion: grouping[emotion] if grouping else emotion for emotion in EMOTIONS}
        shares = [sum(group == own for group in groups.values()) / len(EMOTIONS) for own in told]
        figures[f"zero-shot, {name}"] = _figure([100 * hits[fold].mean() for fold in folds], 100 * fmean(shares))
    return figures


def _retrieval(found: Embedded, folds: Sequence[npt.NDArray[np.int64]]) -> dict[str, Figure]:
    """Recall in per cent among a fold's pairs; a pair that ties with the right one counts against it."""
    figures = {}
    for name, one, other in (
        ("image to text", found.images, found.captions),
        ("text to image", found.captions, found.images),
    ):
        ranks = []
        for fold in folds:
            scores = one[fold] @ other[fold].T
            ranks.append((scores >= np.diag(scores)[:, None]).sum(axis=1))
        for recall in RECALLS:
            values = [100 * float((rank <= recall).mean()) for rank in ranks]
            chance = 100 * fmean(min(1.0, recall / len(fold)) for fold in folds)
            figures[f"{name}, R@{recall}"] = _figure(values, chance)
    return figures


def _figure(values: Sequence[float], chance: float) -> Figure:
    return Figure(
        mean=fmean(values),
        deviation=stdev([float(value) for value in values]) if len(values) > 1 else 0.0,
        chance=chance,
    )
