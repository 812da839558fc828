"""How well a CLIP names the emotions of a sealed set's pictures, and finds pictures and captions for each other."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from statistics import fmean
from typing import Any

import numpy as np
from PIL import Image

from moodarchive.emotions.captions import caption_text
from moodarchive.emotions.taxonomy import EKMAN, EMOTIONS, SENTIMENT, words
from moodarchive.errors import ConfigError
from moodarchive.models.clip import ClipEncoder, Embeddings
from moodarchive.storage.store import Store
from moodarchive.tables.spans import member_span
from train.data.archive import SealedArchive
from train.evaluation.prompts import class_embeddings
from train.evaluation.scoring import FOLDS, Evaluation, Figure, Fold, figure_of, recall_figures

FOLD_PAIRS = 1000
"""Retrieval is measured on 5 disjoint folds of 1,000 pairs: the paper's 5 folds of MoodArchive-5k."""
_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """A set as one CLIP sees it: unit vectors of its pictures and captions, and each picture's searched emotion."""

    images: Embeddings
    captions: Embeddings
    emotions: Sequence[str]


def evaluate(archive: SealedArchive, encoder: ClipEncoder, *, seed: int = 0, data: str = "heldout") -> Evaluation:
    """Zero-shot classification and retrieval over seeded folds. ConfigError for a set of under two pictures."""
    set_embeddings = embed_archive(archive, encoder)
    if (total := len(set_embeddings.emotions)) < 2:
        raise ConfigError(f"{archive.root} has {total} such pictures, too few to measure on; remedy: another --set")
    return evaluate_embedded(set_embeddings, encoder, seed=seed, data=data)


def evaluate_embedded(embedded: Embedded, encoder: ClipEncoder, *, seed: int = 0, data: str = "heldout") -> Evaluation:
    """The same of a set that ``encoder`` has embedded."""
    total = len(embedded.emotions)
    order = np.random.default_rng(seed).permutation(total)
    folds = [fold for fold in np.array_split(order, FOLDS) if len(fold) > 1] if total >= 2 * FOLDS else [order]
    prompts = emotion_embeddings(encoder)
    figures = {
        **_classify(embedded, prompts, folds),
        **recall_figures(embedded.images, embedded.captions, [fold[:FOLD_PAIRS] for fold in folds]),
    }
    return Evaluation(model=encoder.model, data=data, pictures=total, folds=len(folds), figures=figures)


def emotion_embeddings(encoder: ClipEncoder) -> Embeddings:
    """[27, D]: each emotion's templates, averaged and of length 1."""
    return class_embeddings(encoder, [words(emotion) for emotion in EMOTIONS])


def embed_archive(archive: SealedArchive, encoder: ClipEncoder) -> Embedded:
    """Every picture and caption of the set, a bounded number at a time."""
    images, captions, emotions = [], [], []
    for batch in _batches(archive):
        images.append(encoder.images([picture for picture, _ in batch]))
        captions.append(encoder.texts([_caption(metadata) for _, metadata in batch]))
        emotions += [str(metadata["emotion"]) for _, metadata in batch]
    return Embedded(images=np.concatenate(images), captions=np.concatenate(captions), emotions=emotions)


def _batches(archive: SealedArchive) -> Iterator[list[tuple[Image.Image, dict[str, Any]]]]:
    pending: list[tuple[Image.Image, dict[str, Any]]] = []
    for shard in archive.shards:
        store, columns = Store(shard.root), shard.rows()
        with store.open_read(shard.tar) as tar:
            for values in zip(*columns.values(), strict=True):
                row = dict(zip(columns, values, strict=True))
                picture, metadata = (member_span(row, name).read(tar) for name in ("jpg", "json"))
                pending.append((Image.open(BytesIO(picture)).convert("RGB"), json.loads(metadata)))
                if len(pending) == _AT_ONCE:
                    yield pending
                    pending = []
    if pending:
        yield pending


def _caption(metadata: Mapping[str, Any]) -> str:
    return caption_text(metadata["summary"], metadata["stimuli"], metadata["assessment"])


def _classify(embedded: Embedded, prompts: Embeddings, folds: Sequence[Fold]) -> dict[str, Figure]:
    """Top-1 in per cent: all 27 emotions, and the same guesses told by Ekman's six and by sentiment."""
    guesses = [EMOTIONS[index] for index in (embedded.images @ prompts.T).argmax(axis=1)]
    figures = {}
    for name, grouping in (("emotions", None), ("ekman", EKMAN), ("sentiment", SENTIMENT)):
        true = [grouping[emotion] if grouping else emotion for emotion in embedded.emotions]
        guessed = [grouping[emotion] if grouping else emotion for emotion in guesses]
        hits = np.array([one == other for one, other in zip(true, guessed, strict=True)])
        groups = {emotion: grouping[emotion] if grouping else emotion for emotion in EMOTIONS}
        shares = [sum(group == own for group in groups.values()) / len(EMOTIONS) for own in true]
        figures[f"zero-shot, {name}"] = figure_of([100 * hits[fold].mean() for fold in folds], 100 * fmean(shares))
    return figures
