"""Writes an L-AVC set's kept records as WebDataset shards, a tar a split and part, with a manifest of their digests."""

import json

import pyarrow as pa

from moodarchive.archive.licences import may_be_published
from moodarchive.archive.writer_lock import only_writer
from moodarchive.errors import ConfigError, NotWholeError
from moodarchive.language_edit.records import FIELDS, Row, read_record_lines
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from moodarchive.tables.layout import MANIFEST_PATH, PRIVATE
from moodarchive.tables.parts import Origin
from moodarchive.tables.schemas import PAIR_INDEX
from pipelines.editing.sets.emopair.stages import MEMBERS
from pipelines.editing.sets.lavc.checks import join_checks
from pipelines.editing.sets.lavc.records import RECORDS, write_manifest
from pipelines.editing.sets.lavc.verify import verify_lavc
from shards.tars import write_shards

RECORDS_A_TAR = 500
_SAMPLES = pa.schema([("set", pa.string()), ("key", pa.string()), *((name, pa.binary()) for name in MEMBERS)])


def export_shards(root: str, output: str, checked: str = "") -> int:
    """Writes ``output``, a new folder; returns how many samples. Equal sets give equal bytes.

    KEY.source.png, KEY.target.png, KEY.json (the record) and KEY.txt (the instruction); what may not be passed on lies
    in the private shards. ``checked``: a study's checked.jsonl; only records that people accepted are written then.
    NotWholeError where the set is not what was sealed.
    """
    for problem in verify_lavc(root):
        raise NotWholeError(f"{root} is not whole: {problem}; remedy: moodarchive lavc build")
    source, target = Store(root), Store(output)
    if target.files():
        raise ConfigError(f"{output} holds something already; remedy: a new folder")
    every = join_checks(read_record_lines(source.read_bytes(RECORDS), RECORDS), checked)
    rows = [row for row in every if row.get("status") != "rejected"]
    permitted = bool(json.loads(source.read_bytes(MANIFEST_PATH))["settings"].get("permission"))
    files: dict[str, str] = {}
    with only_writer(target):
        for part, first in enumerate(range(0, len(rows), RECORDS_A_TAR)):
            samples = [_sample(source, row, permitted=permitted) for row in rows[first : first + RECORDS_A_TAR]]
            origin = Origin(settings=digest("lavc 1"), inputs={"records": source.sha256(RECORDS)}, started=0.0)
            batch = pa.RecordBatch.from_pylist(samples, schema=_SAMPLES)
            files |= write_shards(target, PAIR_INDEX, part, iter([batch]), origin, members=MEMBERS).files
        write_manifest(target, files, records=source.sha256(RECORDS), samples=len(rows))
    return len(rows)


def _sample(source: Store, row: Row, *, permitted: bool) -> Row:
    public = may_be_published(row.get("licence"), row.get("licence_url"), permitted=permitted)
    record = {name: row[name] for name in FIELDS if name in row}
    return {
        "set": row["split"] if public else PRIVATE,
        "key": row["id"],
        "source": source.read_bytes(row["image"]),
        "target": source.read_bytes(row["edited_image"]),
        "json": json.dumps(record, ensure_ascii=False).encode(),
        "txt": row["instruction"].encode(),
    }
