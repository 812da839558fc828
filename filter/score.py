"""How well a picture fits the emotion it was searched for: CLIP's cosine to that emotion's phrases."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pydantic import Field, field_validator

from moodarchive.clip import ClipEncoder, Embeddings
from moodarchive.keys import digest
from moodarchive.lexicon import load_lexicon
from moodarchive.schemas import DEALT, IMAGES, SAFETY, SCORES, as_batch, empty_row
from moodarchive.settings import Kind, Settings
from moodarchive.stage import Readers, Resources, Stage, joined

DECIMALS = 5


class ScoreSettings(Settings):
    """The model that scores, and the templates that stand beside each emotion's lexicon phrases."""

    model: Annotated[str, Kind.PER_ROW] = "ViT-L-14-quickgelu"
    pretrained: Annotated[str, Kind.PER_ROW] = "openai"
    templates: Annotated[tuple[str, ...], Kind.PER_ROW] = (
        "an image that evokes {emotion}",
        "a photo that shows {emotion}",
        "a scene full of {emotion}",
    )
    batch: Annotated[int, Field(ge=1, le=4096), Kind.EXECUTION] = 64
    workers: Annotated[int, Field(ge=1), Kind.EXECUTION] = 1
    cpus_per_worker: Annotated[float, Field(ge=0), Kind.EXECUTION] = 0.5
    gpus_per_worker: Annotated[float, Field(ge=0), Kind.EXECUTION] = 0.0
    threads: Annotated[int, Field(ge=1), Kind.EXECUTION] = 1

    @field_validator("templates")
    @classmethod
    def _named(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        if not templates or any("{emotion}" not in template for template in templates):
            raise ValueError("every template must hold {emotion}")
        return templates


def phrases_of_emotions(templates: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Emotion → its templates and its lexicon phrases of all contexts.

    The lexicon, not the searched descriptors, so that a later round with new descriptors leaves earlier scores true.
    """
    found: dict[str, list[str]] = {}
    for cell, phrases in load_lexicon().items():
        filled = [template.format(emotion=cell.emotion) for template in templates]
        found.setdefault(cell.emotion, filled).extend(phrases)
    return {emotion: tuple(phrases) for emotion, phrases in found.items()}


@dataclass
class Scorer:
    """Scores a part's safe pictures; phrase embeddings are computed once a worker."""

    encoder: ClipEncoder
    templates: tuple[str, ...]
    batch: int
    _embedded: dict[str, Embeddings] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.encoder.texts(["warm"])  # a worker that cannot load its model must die at once, not at its first part

    @cached_property
    def _phrases(self) -> dict[str, tuple[str, ...]]:
        return phrases_of_emotions(self.templates)

    def __call__(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        for dealt, images, safety in joined(readers, DEALT.name, IMAGES.name, SAFETY.name):
            rows = [
                {**d, "bytes": i["bytes"], "safe": s["verdict"] == "safe" and i["status"] == "ok"}
                for d, i, s in zip(dealt, images, safety, strict=True)
            ]
            yield as_batch(SCORES, self._scored(rows))

    def _scored(self, rows: list[dict[str, Any]]) -> list[dict[str, object]]:
        chosen = [row for row in rows if row["safe"]]
        vectors: dict[str, Embeddings] = {}
        for start in range(0, len(chosen), self.batch):
            some = chosen[start : start + self.batch]
            embedded = self.encoder.images([Image.open(io.BytesIO(row["bytes"])).convert("RGB") for row in some])
            vectors |= {row["key"]: vector for row, vector in zip(some, embedded, strict=True)}
        return [self._row(row, vectors.get(row["key"])) for row in rows]

    def _row(self, row: dict[str, Any], vector: Embeddings | None) -> dict[str, object]:
        if vector is None:
            return empty_row(SCORES, key=row["key"], status="skipped")
        if not np.isfinite(vector).all():
            return empty_row(SCORES, key=row["key"], status="failed", error="not_finite")
        contexts: dict[str, str] = {}
        for query in row["queries"]:  # best rank first
            contexts.setdefault(query["emotion"], query["context"])
        score, phrase, emotion = max((*self._best_phrase(emotion, vector), emotion) for emotion in contexts)
        return {
            "key": row["key"],
            "score": score,
            "phrase": phrase,
            "emotion": emotion,
            "context": contexts[emotion],
            "status": "ok",
            "error": None,
        }

    def _best_phrase(self, emotion: str, vector: Embeddings) -> tuple[float, str]:
        """Largest cosine among the emotion's phrases, rounded so that batch shape cannot change it, and the phrase."""
        phrases = self._phrases[emotion]
        if emotion not in self._embedded:
            self._embedded[emotion] = self.encoder.texts(phrases)
        cosines = self._embedded[emotion] @ vector
        best = int(np.argmax(cosines))
        return round(float(cosines[best]), DECIMALS), phrases[best]


def score_stage(settings: ScoreSettings) -> Stage:
    """The stage that fills scores/."""
    encoder = ClipEncoder(model=settings.model, pretrained=settings.pretrained, threads=settings.threads)
    phrases = phrases_of_emotions(settings.templates)
    return Stage(
        name="score",
        reads=(DEALT, IMAGES, SAFETY),
        writes=SCORES,
        make_worker=partial(Scorer, encoder, settings.templates, settings.batch),
        resources=Resources(
            cpus=settings.cpus_per_worker,
            gpus=settings.gpus_per_worker,
            min_workers=settings.workers,
            max_workers=settings.workers,
        ),
        settings=digest([settings.digest(), phrases]),
    )
