"""How well a picture fits each emotion: CLIP's cosine to the emotion's phrases; and the best of those searched."""

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, field_validator

from filter.scoring_rate import ScoringTime
from moodarchive.emotions.lexicon import load_lexicon
from moodarchive.emotions.taxonomy import EMOTIONS
from moodarchive.errors import PrunedPictureError, StageError
from moodarchive.models.clip import ClipEncoder
from moodarchive.models.device import explain_device_errors
from moodarchive.running.metrics import note
from moodarchive.running.part_log import LOGGER, forget_logs
from moodarchive.running.stage import Readers, Resources, Stage, join_rows
from moodarchive.settings import Settings, SettingScope
from moodarchive.storage.store import Store
from moodarchive.tables.forgetting import forget_rows, parts_holding
from moodarchive.tables.keys import digest
from moodarchive.tables.parts import Origin, Sidecar, part_path, sidecar_path, write_part
from moodarchive.tables.schemas import IMAGES, ITEMS, SAFETY, SCORES, VECTORS, Table, as_batch, empty_row

DECIMALS = 5
DECODING = "jpeg at a power of two, at least 1.5 times the model's side; passes of one shape"
"""How a picture becomes the model's pixels, as far as scores depend on it: another way makes stored scores stale."""
MOST_DECODERS = 16
_VECTOR = "vector"
PASSES_AHEAD = 2
"""Passes whose pictures are being decoded or that wait for the model; more would only cost memory."""


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
    batch: Annotated[int, Field(ge=1, le=4096), SettingScope.PER_ROW] = 64
    """Pictures in one pass through the model; the last pass of a part is filled up.

    Kernels choose their order of summation by the shapes, so that another batch moves last digits of some scores:
    it makes stored scores stale, as another model does.
    """
    keep_vectors: Annotated[bool, SettingScope.GROWTH] = False
    """Keep each scored picture's embedding in vectors/, for searches by text and by picture in `moodarchive browse`.

    Two bytes a number: 1,536 bytes a picture for ViT-L/14, 12 GB for eight million. Parts that were scored without it
    stay without.
    """
    workers: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 1
    """Worker processes of the stage, on the whole cluster."""
    cpus_per_worker: Annotated[float, Field(ge=0), SettingScope.EXECUTION] = 0.5
    """Share of a CPU that Ray sets aside for each worker."""
    gpus_per_worker: Annotated[float, Field(ge=0), SettingScope.EXECUTION] = 0.0
    """GPUs that Ray sets aside for each worker; 0 scores on CPUs."""
    threads: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 1
    """CPU threads of each worker's model."""
    decoders: Annotated[int, Field(ge=0, le=256), SettingScope.EXECUTION] = 0
    """Threads of each worker that decode and resize beside the model; 0 shares the machine's cores among the workers.

    The part's log and the progress line say whether they or the model are the wall.
    """

    @field_validator("templates")
    @classmethod
    def _check_templates(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        if not templates or any("{emotion}" not in template for template in templates):
            raise ValueError("every template must hold {emotion}")
        return templates


def phrases_of_emotions(templates: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Emotion → its templates and its lexicon phrases of all contexts.

    The lexicon, not the searched descriptors, so that a later round with new descriptors leaves earlier scores true.
    """
    phrases_of: dict[str, list[str]] = {}
    for cell, phrases in load_lexicon().items():
        filled = [template.format(emotion=cell.emotion) for template in templates]
        phrases_of.setdefault(cell.emotion, filled).extend(phrases)
    return {emotion: tuple(phrases) for emotion, phrases in phrases_of.items()}


class _Prepared(NamedTuple):
    """A picture's pixels for the model, and the seconds and processor time that they took."""

    pixels: Any
    seconds: float
    cpu_s: float


class _Matches(NamedTuple):
    """Of a pass's pictures the largest cosine to each emotion's phrases (rounded), that phrase's index; vectors."""

    scores: npt.NDArray[np.float64]
    phrases: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float16]


@dataclass
class _Pass:
    """Pictures that go through the model together, and what they match once they have."""

    pixels: list["Future[_Prepared]"] = field(default_factory=list)
    matches: "Future[_Matches] | None" = None


@dataclass
class _Batch:
    """Rows that were read together; ``places`` holds the pass and the place in it of each that is scored."""

    rows: list[dict[str, Any]]
    places: dict[int, tuple[_Pass, int]] = field(default_factory=dict)


@dataclass
class Scorer:
    """Scores a part's safe pictures; phrase embeddings are computed once a worker.

    Decoding threads, the model's own thread, and the thread that reads and writes rows work at the same time.
    """

    encoder: ClipEncoder
    templates: tuple[str, ...]
    batch: int
    decoders: int = 1
    keep_vectors: bool = False

    def __post_init__(self) -> None:
        # a worker that cannot load its model must die at once, not at its first part
        with explain_device_errors(StageError, "the model that scores", "a GPU with more memory free"):
            self.encoder.texts(["warm"])

    @cached_property
    def _phrases(self) -> tuple[tuple[str, ...], ...]:
        """Each emotion's phrases, in the taxonomy's order."""
        of = phrases_of_emotions(self.templates)
        return tuple(of[emotion] for emotion in EMOTIONS)

    @cached_property
    def _embedded(self) -> Any:
        """For the encoder, a group of phrases an emotion."""
        with explain_device_errors(StageError, "the emotions' phrases", "a GPU with more memory free"):
            return self.encoder.group_texts(self._phrases)

    def __call__(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        self._embedded  # noqa: B018  before the clock runs
        timing = ScoringTime(self.decoders)
        decoders = ThreadPoolExecutor(self.decoders, "decode")
        model = ThreadPoolExecutor(1, "model")
        try:
            for rows in self._rows(readers, decoders, model, timing):
                yield self._to_batch(rows)
        finally:
            for pool in (decoders, model):
                pool.shutdown(cancel_futures=True)
        if timing.pictures:
            note(timing.figures())
            LOGGER.getChild("score").info(timing.line())

    def _to_batch(self, rows: list[dict[str, object]]) -> pa.RecordBatch:
        """The rows of scores/, with their vectors as one more column where these are kept."""
        vectors = [row.pop(_VECTOR, None) for row in rows]
        batch = as_batch(SCORES, rows)
        if not self.keep_vectors:
            return batch
        return batch.append_column(_VECTOR, pa.array(vectors, VECTORS.schema.field(_VECTOR).type))

    def _rows(
        self, readers: Readers, decoders: ThreadPoolExecutor, model: ThreadPoolExecutor, timing: ScoringTime
    ) -> Iterator[list[dict[str, object]]]:
        """The output rows of each batch that is read, in order, while later ones are decoded."""
        line: deque[_Batch] = deque()
        passes: deque[_Pass] = deque()
        filling = _Pass()

        def start(full: _Pass) -> None:
            full.matches = model.submit(self._match, full.pixels, timing)
            passes.append(full)

        for batch, chosen in _read_batches(readers):
            line.append(batch)
            for index in chosen:
                batch.places[index] = (filling, len(filling.pixels))
                filling.pixels.append(decoders.submit(self._prepare, batch.rows[index]["bytes"]))
                if len(filling.pixels) == self.batch:
                    start(filling)
                    filling = _Pass()
                    if len(passes) > PASSES_AHEAD:
                        _wait(passes.popleft(), timing)
            for row in batch.rows:
                del row["bytes"]
            while line and _is_matched(line[0]):
                yield self._score(line.popleft(), timing)
        if filling.pixels:
            start(filling)
        while line:
            yield self._score(line.popleft(), timing)

    def _prepare(self, data: bytes) -> _Prepared:
        """In a decoding thread."""
        began, cpu = time.monotonic(), time.thread_time()
        pixels = self.encoder.prepare_bytes(data)
        return _Prepared(pixels, time.monotonic() - began, time.thread_time() - cpu)

    def _match(self, pictures: "Sequence[Future[_Prepared]]", timing: ScoringTime) -> _Matches:
        """In the model's thread: waits for the decoders, then makes one pass."""
        began = time.monotonic()
        ready = [picture.result() for picture in pictures]
        decoded, cpu = time.monotonic(), time.thread_time()
        with explain_device_errors(StageError, f"a batch of {self.batch} pictures", "a smaller score.batch"):
            scores, phrases, vectors = self.encoder.match_and_embed_batch(
                [picture.pixels for picture in ready], self.batch, self._embedded
            )
        timing.add_decoding(sum(picture.seconds for picture in ready), sum(picture.cpu_s for picture in ready))
        timing.add_pass(
            len(ready),
            waited_s=decoded - began,
            seconds=time.monotonic() - decoded,
            cpu_s=time.thread_time() - cpu if self.encoder.on_cpu else None,
        )
        return _Matches(scores.round(DECIMALS), phrases, vectors.astype(np.float16))

    def _score(self, batch: _Batch, timing: ScoringTime) -> list[dict[str, object]]:
        return [
            self._score_row(row, _wait(batch.places[index][0], timing), batch.places[index][1])
            if index in batch.places
            else empty_row(SCORES, key=row["key"], status="skipped")
            for index, row in enumerate(batch.rows)
        ]

    def _score_row(self, row: dict[str, Any], matches: _Matches, place: int) -> dict[str, object]:
        if not np.isfinite(matches.scores[place]).all():
            return empty_row(SCORES, key=row["key"], status="failed", error="not_finite")
        scores: list[float] = matches.scores[place].tolist()
        phrases = [of[best] for of, best in zip(self._phrases, matches.phrases[place].tolist(), strict=True)]
        contexts: dict[str, str] = {}
        for query in row["queries"]:  # best rank first
            contexts.setdefault(query["emotion"], query["context"])
        _, emotion, index = max((scores[EMOTIONS.index(name)], name, EMOTIONS.index(name)) for name in contexts)
        return {
            "key": row["key"],
            "score": scores[index],
            "phrase": phrases[index],
            "emotion": emotion,
            "context": contexts[emotion],
            "emotion_scores": scores,
            "emotion_phrases": phrases,
            "status": "ok",
            "error": None,
            _VECTOR: matches.vectors[place] if self.keep_vectors else None,
        }


def _read_batches(readers: Readers) -> Iterator[tuple[_Batch, list[int]]]:
    """Rows as they are read, and which of them are to be scored. PrunedPictureError when one of these has no bytes."""
    for items, images, safety in join_rows(readers, ITEMS.name, IMAGES.name, SAFETY.name):
        rows = [{**item, "bytes": image["bytes"]} for item, image in zip(items, images, strict=True)]
        chosen = [
            index
            for index, (image, verdict) in enumerate(zip(images, safety, strict=True))
            if verdict["verdict"] in ("safe", "doubtful") and image["status"] == "ok"
        ]
        if pruned := [str(rows[index]["key"]) for index in chosen if rows[index]["bytes"] is None]:
            raise _pruned_error(pruned)
        yield _Batch(rows), chosen


def _wait(one: _Pass, timing: ScoringTime) -> _Matches:
    """What the pass's pictures match, once it is there; the error of its decoding or of the model."""
    assert one.matches is not None, "a pass is started before anyone waits for it"
    if one.matches.done():
        return one.matches.result()
    began = time.monotonic()
    try:
        return one.matches.result()
    finally:
        timing.rows_waited_s += time.monotonic() - began


def _is_matched(batch: _Batch) -> bool:
    return all(one.matches is not None and one.matches.done() for one, _ in batch.places.values())


def decoding_threads(settings: ScoreSettings) -> int:
    """What the settings name, or the cores of this machine shared among the workers."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return settings.decoders or max(1, min(MOST_DECODERS, cores // settings.workers))


def _pruned_error(keys: list[str]) -> PrunedPictureError:
    return PrunedPictureError(
        f"{len(keys)} pictures are to be scored anew, but images/ was pruned of them ({', '.join(keys[:3])}): their "
        "scores are of another lexicon or an earlier program; remedy: restore the part's two files in images/ from a "
        "copy, or remove both and run again, which downloads the part anew"
    )


def _make_scorer(encoder: ClipEncoder, settings: ScoreSettings) -> Scorer:
    """In the worker, whose machine decides how many threads decode."""
    decoders = decoding_threads(settings)
    return Scorer(encoder, settings.templates, settings.batch, decoders, keep_vectors=settings.keep_vectors)


def _write_with_vectors(
    store: Store, table: Table, part: int, batches: Iterator[pa.RecordBatch], origin: Origin
) -> Sidecar:
    """Writes vectors/ before the sidecar of scores/ says that the part is done; the part's vectors are held in memory.

    A part that is scored without them has none that an earlier model made.
    """
    kept: list[pa.RecordBatch] = []

    def scores() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if _VECTOR in batch.schema.names:
                kept.append(batch.select(VECTORS.schema.names).cast(VECTORS.schema))
            yield batch.select(table.schema.names).cast(table.schema)
        if kept:
            write_part(store, VECTORS, part, kept, origin)
        elif store.exists(sidecar_path(VECTORS, part)):
            store.remove(sidecar_path(VECTORS, part))
            store.remove(part_path(VECTORS, part))

    return write_part(store, table, part, scores(), origin)


def score_stage(settings: ScoreSettings) -> Stage:
    """The stage that fills scores/."""
    encoder = ClipEncoder(model=settings.model, pretrained=settings.pretrained, threads=settings.threads)
    phrases = phrases_of_emotions(settings.templates)
    return Stage(
        name="score",
        reads=(ITEMS, IMAGES, SAFETY),
        writes=SCORES,
        make_worker=partial(_make_scorer, encoder, settings),
        resources=Resources(
            cpus=settings.cpus_per_worker,
            gpus=settings.gpus_per_worker,
            min_workers=settings.workers,
            max_workers=settings.workers,
        ),
        settings=digest([settings.digest(), phrases, SCORES.schema.names, DECODING]),
        finish=_write_with_vectors,
    )


def forget_vectors(store: Store, keys: frozenset[str]) -> dict[str, str]:
    """Erases the keys' vectors, from which much of a picture can be told."""
    return forget_rows(store, VECTORS, keys, [_VECTOR])


def forget(store: Store, keys: frozenset[str]) -> None:
    """Removes the logs of the keys' parts; the score stays: by it the image keeps its place in the cut."""
    forget_logs(store, "score", parts_holding(store, ITEMS, keys))
