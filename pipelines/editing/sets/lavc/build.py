"""Builds an L-AVC set: requests, texts, records with their pictures, the list of records, the seal."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from moodarchive.archive.writer_lock import only_writer
from moodarchive.language_edit.records import Row
from moodarchive.running.stage import Resources, Stage
from moodarchive.settings import SettingScope
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from moodarchive.tables.layout import MANIFEST_PATH
from moodarchive.tables.parts import finished_parts, read_part, sidecar_path
from moodarchive.tables.schemas import LAVC_RECORDS, LAVC_REQUESTS, LAVC_TABLES, LAVC_TEXTS
from pipelines.editing.sets.lavc.checks import join_checks
from pipelines.editing.sets.lavc.editing import RecordMaker, write_records_part
from pipelines.editing.sets.lavc.records import RECORDS, count_records, record_line, write_manifest
from pipelines.editing.sets.lavc.requests import CHOSEN, write_requests
from pipelines.editing.sets.lavc.settings import LavcSettings
from pipelines.editing.sets.lavc.writing import TextWriter, load_writer_prompt
from pipelines.editing.sets.parts import SETTINGS_PATH, record_settings, remove_later_parts, run_set_stages


def build_lavc(settings: LavcSettings, root: str, *, on_ray: bool = True) -> dict[str, Any]:
    """Builds or completes the set at ``root``; returns its manifest. Equal settings and answers give equal bytes.

    ConfigError where the root holds something else, or was begun with other settings. ``on_ray`` False works in this
    process alone.
    """
    store = Store(root)
    with only_writer(store):
        store.remove_drafts()
        record_settings(store, settings.recorded())
        store.remove(MANIFEST_PATH)
        _forget_damaged_parts(store)
        parts = write_requests(store, settings)
        remove_later_parts(store, LAVC_TABLES, len(parts))
        run_set_stages(lavc_stages(settings), store, parts, ray_address=settings.ray_address, on_ray=on_ray)
        rows = join_checks(list(_rows(store)), settings.checked)
        store.write_bytes(RECORDS, "".join(map(record_line, rows)).encode())
        return _seal(store, settings, rows)


def lavc_stages(settings: LavcSettings) -> list[Stage]:
    """In their order; what a stage's rows depend on is in its digest."""
    recorded = settings.recorded()
    prompt = load_writer_prompt(settings.writer.prompt)  # travels with the worker: a file may change meanwhile
    writer = settings.writer.of_kind(SettingScope.PER_ROW) | {"prompt": prompt.hash, "seed": settings.seed}
    names = ("maker", "filter", "predictor", "tries", "seed", "test")
    where = {"folder": settings.folder, "archive": settings.archive}
    return [
        Stage(
            name="texts",
            reads=(LAVC_REQUESTS,),
            writes=LAVC_TEXTS,
            make_worker=partial(TextWriter, settings=settings.writer, prompt=prompt, seed=settings.seed, **where),
            resources=Resources(cpus=0.25, max_workers=settings.workers),
            settings=digest(writer),
        ),
        Stage(
            name="records",
            reads=(LAVC_REQUESTS, LAVC_TEXTS),
            writes=LAVC_RECORDS,
            make_worker=partial(
                RecordMaker,
                maker=settings.maker,
                rules=settings.filter,
                predictor=settings.predictor,
                tries=settings.tries,
                seed=settings.seed,
                test=settings.test,
                **where,
            ),
            resources=Resources(cpus=0.5, gpus=settings.gpus_per_worker, max_workers=settings.workers),
            settings=digest({name: recorded[name] for name in names}),
            finish=write_records_part,
        ),
    ]


def _forget_damaged_parts(store: Store) -> None:
    """A part of which a file is gone or changed is made again; of requests, the choice of pictures, too."""
    for table in LAVC_TABLES:
        for part, sidecar in finished_parts(store, table).items():
            if not all(store.exists(path) and store.sha256(path) == sha256 for path, sha256 in sidecar.files.items()):
                store.remove(sidecar_path(table, part))
                if table is LAVC_REQUESTS:
                    store.remove(CHOSEN)


def _rows(store: Store) -> Iterator[Row]:
    for part in sorted(finished_parts(store, LAVC_RECORDS)):
        for batch in read_part(store, LAVC_RECORDS, part, batch_rows=1_000):
            yield from batch.to_pylist()


def _seal(store: Store, settings: LavcSettings, rows: list[Row]) -> dict[str, Any]:
    own = [path for path in (SETTINGS_PATH, RECORDS, CHOSEN) if store.exists(path)]
    parts = [part for table in LAVC_TABLES for part in finished_parts(store, table).values()]
    files = {path: sha256 for part in parts for path, sha256 in part.files.items()}
    files |= {path: store.sha256(path) for path in own}
    return write_manifest(store, files, settings=settings.recorded(), **count_records(rows))
