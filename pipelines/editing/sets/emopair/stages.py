"""The three stages of an EmoPair set: pictures are had, pairs are judged, kept pairs become samples."""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import pyarrow as pa
from PIL import Image

from moodarchive.archive.licences import may_be_published
from moodarchive.errors import RowError
from moodarchive.running.stage import Readers, Resources, Stage, join_rows
from moodarchive.settings import SettingScope
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from moodarchive.tables.layout import PRIVATE
from moodarchive.tables.parts import Origin, Sidecar
from moodarchive.tables.schemas import (
    PAIR_INDEX,
    PAIR_PICTURES,
    PAIR_REQUESTS,
    PAIRS,
    Table,
    as_batch,
    empty_row,
)
from pipelines.editing.sets.edits import (
    EditJudge,
    Measured,
    PictureEditor,
    draw_side,
    encode_png,
    likeliest,
    read_below,
)
from pipelines.editing.sets.emopair.settings import PairSettings
from pipelines.editing.sets.parts import share_of
from pipelines.editing.sets.settings import FilterSettings, MakerSettings
from shards.tars import write_shards

Row = dict[str, Any]
MEMBERS = {"source": "source.png", "target": "target.png", "json": "json", "txt": "txt"}
"""WebDataset's names: KEY.source.png, KEY.target.png, KEY.json and the instruction as KEY.txt."""
JSON_FIELDS = (
    "class_source", "class_target", "prompt", "img_src_path", "img_tgt_path", "source_softmax", "target_softmax",
    "subset", "split", "source_sha256", "target_sha256",
)  # fmt: skip
PROVENANCE = ("source", "title", "creator", "creator_url", "licence", "licence_url", "landing_url")


@dataclass(kw_only=True)
class PictureMaker:
    """Reads, edits or draws the two pictures of each request; what cannot be had is a failed row."""

    maker: MakerSettings
    folders: Sequence[str]
    """Of the settings' sources, in their order"""

    def __call__(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        for (requests,) in join_rows(readers, PAIR_REQUESTS.name):
            yield as_batch(PAIR_PICTURES, [self._row(request) for request in requests])

    def _row(self, request: Row) -> Row:
        try:
            source, target = self._pictures(request)
        except RowError as error:
            return empty_row(PAIR_PICTURES, key=request["key"], status="failed", error=error.kind)
        contents = [encode_png(image) for image in (source, target)]
        digests = [hashlib.sha256(content).hexdigest() for content in contents]
        return empty_row(
            PAIR_PICTURES,
            key=request["key"],
            source_bytes=contents[0],
            target_bytes=contents[1],
            source_sha256=digests[0],
            target_sha256=digests[1],
            status="ok",
        )

    def _pictures(self, request: Row) -> tuple[Image.Image, Image.Image]:
        recipe = json.loads(request["recipe"])
        if "drawn" in recipe:
            return draw_side(recipe, "source"), draw_side(recipe, "target")
        if "files" in recipe:
            source, target = (read_below(self.folders[recipe["of"]], name) for name in recipe["files"])
            return source, target
        if "edit" not in recipe:
            raise RowError("no_best", "people chose none of the candidates")
        source = read_below(self.folders[recipe["of"]], recipe["edit"])
        edited = self._editor.edit(
            source, prompt=request["prompt"], emotion=request["class_target"], seed=recipe["seed"]
        )
        return source, edited

    @cached_property
    def _editor(self) -> PictureEditor:
        return PictureEditor(maker=self.maker)


@dataclass(kw_only=True)
class PairJudge:
    """Labels both sides by the predictor where nobody else has, measures, and says why a pair is left out."""

    predictor: str
    rules: FilterSettings
    heldout: float
    validation: float

    def __call__(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        for requests, pictures in join_rows(readers, PAIR_REQUESTS.name, PAIR_PICTURES.name):
            yield as_batch(PAIRS, [self._row(*both) for both in zip(requests, pictures, strict=True)])

    def _row(self, request: Row, pictures: Row) -> Row:
        row: Row = empty_row(PAIRS, **{name: request[name] for name in request if name in PAIRS.schema.names})
        if pictures["status"] != "ok":
            return row | {"kept": False, "reason": pictures["error"]}
        row |= {name: pictures[name] for name in ("source_sha256", "target_sha256")}
        row["split"] = split_of(request["group"], self.heldout, self.validation)
        sides = [_open(pictures[f"{side}_bytes"]) for side in ("source", "target")]
        if self.predictor:
            source, target = (self._edits.distribution(image) for image in sides)
            row["target_softmax"] = target
            if row["source_softmax"] is None:
                row["source_softmax"] = source
        row["class_source"] = row["class_source"] or likeliest(row["source_softmax"])
        row["class_target"] = row["class_target"] or likeliest(row["target_softmax"])
        is_generated = not {"edit", "ranked"}.isdisjoint(json.loads(request["recipe"]))
        if is_generated and self.rules.clip:
            row["clip_image"], row["clip_text"] = self._edits.cosines(sides, request["prompt"])
        reason = self._reason(row, is_generated=is_generated)
        return row | {"kept": not reason, "reason": reason or None}

    def _reason(self, row: Row, *, is_generated: bool) -> str:
        if row["class_source"] == row["class_target"]:
            return "same_class"  # a zero direction with a changed target teaches noise
        if not is_generated:
            return ""
        measured = Measured(
            target_softmax=row["target_softmax"], clip_image=row["clip_image"], clip_text=row["clip_text"]
        )
        return self._edits.reason(measured, row["class_target"])

    @cached_property
    def _edits(self) -> EditJudge:
        return EditJudge(predictor=self.predictor, rules=self.rules)


def _open(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def split_of(group: str, heldout: float, validation: float) -> str:
    """By a digest of the group: the same source, or the same place, falls into one split."""
    share = share_of(group)
    return "heldout" if share < heldout else "validation" if share < heldout + validation else "train"


class PairPacker:
    """Kept pairs as samples; those that may not be passed on go into the private shards."""

    def __call__(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        names = (PAIR_REQUESTS.name, PAIR_PICTURES.name, PAIRS.name)
        for requests, pictures, pairs in join_rows(readers, *names):
            rows = [self._sample(*each) for each in zip(requests, pictures, pairs, strict=True) if each[2]["kept"]]
            if rows:
                yield pa.RecordBatch.from_pylist(rows, schema=_SAMPLES)

    def _sample(self, request: Row, pictures: Row, pair: Row) -> Row:
        public = may_be_published(request["licence"], request["licence_url"], permitted=bool(request["permitted"]))
        metadata = {name: pair[name] for name in JSON_FIELDS} | {name: request[name] for name in PROVENANCE}
        return {
            "set": pair["split"] if public else PRIVATE,
            "key": pair["key"],
            "source": pictures["source_bytes"],
            "source_sha256": pictures["source_sha256"],
            "target": pictures["target_bytes"],
            "target_sha256": pictures["target_sha256"],
            "json": json.dumps(metadata, sort_keys=True, ensure_ascii=False).encode(),
            "txt": pair["prompt"].encode(),
        }


_SAMPLES = pa.schema(
    [
        ("set", pa.string()), ("key", pa.string()), ("source", pa.binary()), ("source_sha256", pa.string()),
        ("target", pa.binary()), ("target_sha256", pa.string()), ("json", pa.binary()), ("txt", pa.binary()),
    ]
)  # fmt: skip


def pair_stages(settings: PairSettings) -> list[Stage]:
    """In their order; what a stage's rows depend on is in its digest."""
    recorded = settings.recorded()
    filters = settings.filter.of_kind(SettingScope.PER_ROW)
    common = {"heldout": settings.heldout, "validation": settings.validation}
    judge = partial(
        PairJudge,
        predictor=settings.predictor,
        rules=settings.filter,
        heldout=settings.heldout,
        validation=settings.validation,
    )
    with_model = Resources(cpus=0.5, gpus=settings.gpus_per_worker, max_workers=settings.workers)
    light = Resources(cpus=0.25, max_workers=settings.workers)
    return [
        Stage(
            name="pictures",
            reads=(PAIR_REQUESTS,),
            writes=PAIR_PICTURES,
            make_worker=partial(
                PictureMaker, maker=settings.maker, folders=[source.folder for source in settings.sources]
            ),
            resources=with_model,
            settings=digest(recorded["maker"]),
        ),
        Stage(
            name="judging",
            reads=(PAIR_REQUESTS, PAIR_PICTURES),
            writes=PAIRS,
            make_worker=judge,
            resources=replace(with_model, cpus=0.25),
            settings=digest({**common, "filter": filters, "predictor": recorded["predictor"]}),
        ),
        Stage(
            name="packing",
            reads=(PAIR_REQUESTS, PAIR_PICTURES, PAIRS),
            writes=PAIR_INDEX,
            make_worker=PairPacker,
            resources=light,
            settings=digest("pairs 1"),
            finish=_write,
        ),
    ]


def _write(store: Store, table: Table, part: int, batches: Iterator[pa.RecordBatch], origin: Origin) -> Sidecar:
    return write_shards(store, table, part, batches, origin, members=MEMBERS)
