"""The pictures of L-AVC's records: had, edited until one passes the filter or the tries are spent, and stored."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from PIL import Image

from annotate.asking import attempt_seed
from moodarchive.errors import RowError
from moodarchive.running.stage import Readers, join_rows
from moodarchive.storage.store import Store
from moodarchive.tables.parts import Origin, Sidecar, read_sidecar, write_part
from moodarchive.tables.schemas import LAVC_RECORDS, LAVC_REQUESTS, LAVC_TEXTS, Table, empty_row
from pipelines.editing.sets.edits import EditJudge, Measured, PictureEditor, draw_side, encode_png
from pipelines.editing.sets.lavc.pictures import read_archive_pictures, source_picture
from pipelines.editing.sets.lavc.requests import GONE
from pipelines.editing.sets.parts import share_of
from pipelines.editing.sets.settings import FilterSettings, MakerSettings

Row = dict[str, Any]
PICTURES = {"image_bytes": "image", "edited_bytes": "edited_image"}
"""Of a batch, the column of a picture's bytes → the column of its path."""
_BATCH = pa.schema([*LAVC_RECORDS.schema, *((name, pa.binary()) for name in PICTURES)])
_TEXTS = ("caption", "emotion", "edited_span", "instruction", "edited_caption", "edited_emotion")
_KNOWN = (
    "key", "number", "source", "title", "creator", "creator_url", "licence", "licence_url", "landing_url",
)  # fmt: skip


@dataclass(kw_only=True)
class RecordMaker:
    """Has, edits and judges the pictures of each record; yields its row with the bytes of what is kept."""

    maker: MakerSettings
    rules: FilterSettings
    predictor: str
    tries: int
    seed: int
    test: float
    folder: str
    archive: str

    def __call__(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        for requests, texts in join_rows(readers, LAVC_REQUESTS.name, LAVC_TEXTS.name):
            pictures = read_archive_pictures(self.archive, requests) if self.archive else {}
            rows = [self._row(*both, pictures) for both in zip(requests, texts, strict=True)]
            yield pa.RecordBatch.from_pylist(rows, schema=_BATCH)

    def _row(self, request: Row, text: Row, pictures: dict[str, bytes]) -> Row:
        element = text["element"]
        name = f"{element.replace('&', '-')}-{request['number']:05d}"
        row = empty_row(
            LAVC_RECORDS,
            id=name,
            element=element,
            image=f"original/{name}.png",
            split=split_of(element, request["group"], self.test),
            status="rejected",
            **{field: request[field] for field in _KNOWN},
            **{field: text[field] for field in _TEXTS},
        )
        if text["status"] != "ok":
            return row | {"reason": text["error"] or GONE}
        try:
            source, edited = self._edit(request, row, pictures)
        except RowError as error:
            return row | {"reason": error.kind}
        if row["reason"]:
            return row
        contents = [encode_png(image) for image in (source, edited)]
        digests = [hashlib.sha256(content).hexdigest() for content in contents]
        row |= {"status": "kept", "edited_image": f"edited/{name}.png"}
        row |= {"image_sha256": digests[0], "edited_sha256": digests[1]}
        return row | dict(zip(PICTURES, contents, strict=True))

    def _edit(self, request: Row, row: Row, pictures: dict[str, bytes]) -> tuple[Image.Image, Image.Image]:
        """The source and the first edit that passes, else the last one, with the reason in ``row``."""
        recipe = json.loads(request["recipe"])
        source = source_picture(request, self.folder, pictures)
        if "drawn" in recipe:
            row["checked_by"] = "drawn"
            return source, draw_side(recipe, "target")
        edited, target = source, row["edited_emotion"]
        for attempt in range(self.tries):
            seed = attempt_seed(self.seed, request["key"], attempt)
            edited = self._editor.edit(source, prompt=row["edited_caption"], emotion=target, seed=seed)
            measured = self._judge.measure(source, edited, row["edited_caption"])
            row["tries"], row["reason"] = attempt + 1, self._judge.reason(measured, target) or None
            row |= _figures(measured, target)
            if not row["reason"]:
                break
        return source, edited

    @cached_property
    def _editor(self) -> PictureEditor:
        return PictureEditor(maker=self.maker)

    @cached_property
    def _judge(self) -> EditJudge:
        return EditJudge(predictor=self.predictor, rules=self.rules)


def _figures(measured: Measured, target: str) -> Row:
    from moodarchive.emotions.taxonomy import MIKELS_EIGHT

    softmax = measured.target_softmax
    return {
        "clip_image": measured.clip_image,
        "clip_text": measured.clip_text,
        "probability": softmax[MIKELS_EIGHT.index(target)] if softmax is not None else None,
    }


def split_of(element: str, group: str, test: float) -> str:
    """By a digest within the element: pictures of one group fall into one split."""
    return "test" if share_of(f"{element}/{group}") < test else "train"


def write_records_part(
    store: Store, table: Table, part: int, batches: Iterator[pa.RecordBatch], origin: Origin
) -> Sidecar:
    """Writes the pictures as their rows come, then the rows; the sidecar, written last, covers them all."""
    files: dict[str, str] = {}
    earlier = read_sidecar(store, table, part)
    sidecar = write_part(store, table, part, _write_pictures(store, batches, files), origin, files)
    for path in set(earlier.files if earlier else ()) - set(sidecar.files):
        store.remove(path)
    return sidecar


def _write_pictures(store: Store, batches: Iterator[pa.RecordBatch], files: dict[str, str]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for content, path in PICTURES.items():
            for data, name in zip(batch[content], batch[path].to_pylist(), strict=True):
                if data.is_valid:
                    files[name] = store.write_bytes(name, data.as_py())
        yield batch.select(LAVC_RECORDS.schema.names).cast(LAVC_RECORDS.schema)
