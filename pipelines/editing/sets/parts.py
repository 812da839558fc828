"""How a set is built part by part: the settings' record, its requests, the stages here or on Ray."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from moodarchive.errors import ConfigError
from moodarchive.running.ray_address import address_of
from moodarchive.running.stage import Stage, run_part
from moodarchive.settings import differences
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from moodarchive.tables.parts import Origin, finished_parts, sidecar_path, write_part
from moodarchive.tables.schemas import Table, as_batch
from pipelines.runner.cluster import Cluster
from pipelines.runner.execute import run_stages

SETTINGS_PATH = "settings.json"
_OWN_FOLDERS = {"crawl", "logs"}
"""What a build that was killed early has left: its heartbeat and its logs."""


def record_settings(store: Store, recorded: Mapping[str, object]) -> None:
    """Writes them at the first build; ConfigError where the root was begun with others, or holds something else."""
    if store.exists(SETTINGS_PATH):
        before = json.loads(store.read_bytes(SETTINGS_PATH))
        changed = [f"{name} was {old!r}, is {new!r}" for name, old, new in differences(before, recorded)]
        if changed:
            raise ConfigError(f"{store.root} was begun with other settings: {'; '.join(changed)}; remedy: another root")
        return
    if {*store.names()} - _OWN_FOLDERS:
        raise ConfigError(f"{store.root} holds something else; remedy: a new folder")
    store.write_bytes(SETTINGS_PATH, (json.dumps(recorded, indent=1, sort_keys=True) + "\n").encode())


def write_request_parts(
    store: Store, table: Table, rows: Iterable[dict[str, Any]], *, rows_per_part: int, settings: str
) -> list[int]:
    """Writes the requests part by part, returns the parts; those made from the same settings and rows stay."""
    parts: list[int] = []
    done, left = finished_parts(store, table), iter(rows)
    while chunk := list(islice(left, rows_per_part)):
        part, inputs = len(parts), {"rows": digest(chunk)}
        sidecar = done.get(part)
        if sidecar is None or sidecar.settings != settings or dict(sidecar.inputs) != inputs:
            origin = Origin(settings=settings, inputs=inputs, started=0.0)
            write_part(store, table, part, [as_batch(table, chunk)], origin)
        parts.append(part)
    return parts


def share_of(group: str) -> float:
    """Where a group stands from 0 up to 1, by its digest; a split is a stretch of it."""
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") / 2**64


def remove_later_parts(store: Store, tables: Sequence[Table], parts: int) -> None:
    """Removes what an earlier, larger set of requests has left."""
    for table in tables:
        for part, sidecar in finished_parts(store, table).items():
            if part >= parts:
                for path in (sidecar_path(table, part), *sidecar.files):
                    store.remove(path)


def run_set_stages(
    stages: Sequence[Stage], store: Store, parts: Sequence[int], *, ray_address: str, on_ray: bool
) -> None:
    """Brings every part up to date; ``on_ray`` False works in this process alone."""
    if on_ray:
        with Cluster(address=address_of(ray_address)) as cluster:
            run_stages(stages, store, parts, cluster)
        return
    for stage in stages:
        worker = stage.make_worker()
        for part in parts:
            run_part(stage, store, worker, part)
