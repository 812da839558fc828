"""How well a picture fits each emotion: CLIP's cosine to the emotion's phrases; and the best of those searched."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pydantic import Field, field_validator

from moodarchive.emotions.lexicon import load_lexicon
from moodarchive.emotions.taxonomy import EMOTIONS
from moodarchive.errors import PrunedPictureError
from moodarchive.keys import digest
from moodarchive.models.clip import ClipEncoder, Embeddings
from moodarchive.running.part_log import forget_logs
from moodarchive.running.stage import Readers, Resources, Stage, join_rows
from moodarchive.settings import Settings, SettingScope
from moodarchive.storage.store import Store
from moodarchive.tables.forgetting import parts_holding
from moodarchive.tables.schemas import IMAGES, ITEMS, SAFETY, SCORES, as_batch, empty_row

DECIMALS = 5


class ScoreSettings(Settings):
    """The model that scores, and the templates that stand beside each emotion's lexicon phrases."""

    model: Annotated[str, SettingScope.PER_ROW] = "ViT-L-14-quickgelu"
    """An architecture of open_clip, or local-dir:FOLDER."""
    pretrained: Annotated[str, SettingScope.PER_ROW] = "openai"
    """A tag of open_clip; unused for a folder."""
    templates: Annotated[tuple[str, ...], SettingScope.PER_ROW] = (
        "an image that evokes {emotion}",
        "a photo that shows {emotion}",
        "a scene full of {emotion}",
    )
    """Sentences that stand beside an emotion's lexicon phrases; each holds {emotion}."""
    batch: Annotated[int, Field(ge=1, le=4096), SettingScope.EXECUTION] = 64
    """Pictures in one pass through the model."""
    workers: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 1
    """Worker processes of the stage, on the whole cluster."""
    cpus_per_worker: Annotated[float, Field(ge=0), SettingScope.EXECUTION] = 0.5
    """Share of a CPU that Ray sets aside for each worker."""
    gpus_per_worker: Annotated[float, Field(ge=0), SettingScope.EXECUTION] = 0.0
    """GPUs that Ray sets aside for each worker; 0 scores on CPUs."""
    threads: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 1
    """CPU threads of each worker's model."""

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

    def __post_init__(self) -> None:
        self.encoder.texts(["warm"])  # a worker that cannot load its model must die at once, not at its first part

    @cached_property
    def _phrases(self) -> tuple[tuple[str, ...], ...]:
        """Each emotion's phrases, in the taxonomy's order."""
        of = phrases_of_emotions(self.templates)
        return tuple(of[emotion] for emotion in EMOTIONS)

    @cached_property
    def _embedded(self) -> tuple[Embeddings, ...]:
        return tuple(self.encoder.texts(phrases) for phrases in self._phrases)

    def __call__(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        for items, images, safety in join_rows(readers, ITEMS.name, IMAGES.name, SAFETY.name):
            rows = [
                {**d, "bytes": i["bytes"], "safe": s["verdict"] == "safe" and i["status"] == "ok"}
                for d, i, s in zip(items, images, safety, strict=True)
            ]
            yield as_batch(SCORES, self._scored(rows))

    def _scored(self, rows: list[dict[str, Any]]) -> list[dict[str, object]]:
        chosen = [row for row in rows if row["safe"]]
        if lost := [row["key"] for row in chosen if row["bytes"] is None]:
            raise _pruned(lost)
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
        scores, phrases = self._fits(vector)
        _, emotion, place = max((scores[EMOTIONS.index(name)], name, EMOTIONS.index(name)) for name in contexts)
        return {
            "key": row["key"],
            "score": scores[place],
            "phrase": phrases[place],
            "emotion": emotion,
            "context": contexts[emotion],
            "emotion_scores": scores,
            "emotion_phrases": phrases,
            "status": "ok",
            "error": None,
        }

    def _fits(self, vector: Embeddings) -> tuple[list[float], list[str]]:
        """Of each emotion the largest cosine, rounded so that batch shape cannot change it, and its phrase."""
        scores, phrases = [], []
        for embedded, of_emotion in zip(self._embedded, self._phrases, strict=True):
            cosines = embedded @ vector
            best = int(np.argmax(cosines))
            scores.append(round(float(cosines[best]), DECIMALS))
            phrases.append(of_emotion[best])
        return scores, phrases


def _pruned(keys: list[str]) -> PrunedPictureError:
    return PrunedPictureError(
        f"{len(keys)} pictures are to be scored anew, but images/ was pruned of them ({', '.join(keys[:3])}): their "
        "scores are of another lexicon or an earlier program; remedy: restore the part's two files in images/ from a "
        "copy, or remove both and run again, which downloads the part anew"
    )


def score_stage(settings: ScoreSettings) -> Stage:
    """The stage that fills scores/."""
    encoder = ClipEncoder(model=settings.model, pretrained=settings.pretrained, threads=settings.threads)
    phrases = phrases_of_emotions(settings.templates)
    return Stage(
        name="score",
        reads=(ITEMS, IMAGES, SAFETY),
        writes=SCORES,
        make_worker=partial(Scorer, encoder, settings.templates, settings.batch),
        resources=Resources(
            cpus=settings.cpus_per_worker,
            gpus=settings.gpus_per_worker,
            min_workers=settings.workers,
            max_workers=settings.workers,
        ),
        settings=digest([settings.digest(), phrases, SCORES.schema.names]),
    )


def forget(store: Store, keys: frozenset[str]) -> None:
    """Removes the logs of the keys' parts; the score stays: by it the image keeps its place in the cut."""
    forget_logs(store, "score", parts_holding(store, ITEMS, keys))
