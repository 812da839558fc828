"""The manifest as typed records, read with the suspicion that it is damaged."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from moodarchive.tables.parts import Sidecar
from moodarchive.tables.schemas import SCHEMA_VERSION, TABLES

IMAGE_TABLES = ("items", "images", "safety", "captions", "scores", "selection")
_UNSEALED: dict[str, Any] = {"started": 0.0, "finished": 0.0}
"""What a sidecar knows and the manifest leaves out, because it differs between equal runs."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What the seal said: ``parts`` by ``table/NNNNN``, ``records`` maps other files to their sha256."""

    parts: Mapping[str, Sidecar]
    records: Mapping[str, str]
    settings: Mapping[str, Any]
    counts: Mapping[str, Any]
    sets: Mapping[str, Any]
    licences: Mapping[str, Any]
    sources: Mapping[str, Any]
    changes: Mapping[str, Any]
    pruned: Mapping[str, str]
    seal: int

    @property
    def files(self) -> dict[str, str]:
        """Every file that the seal covers, with its sha256 as it lies there; sidecars and the manifest left out."""
        written = {path: sha for part in self.parts.values() for path, sha in part.files.items()}
        return written | dict(self.pruned) | dict(self.records)

    @property
    def image_parts(self) -> list[int]:
        """Part numbers from items/ on."""
        return sorted(part.part for part in self.parts.values() if part.table == "items")

    def of_table(self, name: str) -> list[Sidecar]:
        """The table's parts."""
        return [part for part in self.parts.values() if part.table == name]


def read_manifest(text: bytes) -> Manifest:
    """ValueError says what is wrong with a manifest that is none."""
    told = json.loads(text)
    if not isinstance(told, dict):
        raise ValueError("not an object")
    if told.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"schema version {told.get('schema_version')}, this program reads {SCHEMA_VERSION}")
    sections: dict[str, Any] = {field.name: told.get(field.name) for field in fields(Manifest)}
    if not isinstance(sections["seal"], int):
        raise ValueError("no seal")
    for name, value in sections.items():
        if name != "seal" and not isinstance(value, dict):
            raise ValueError(f"no {name}")
    sections["parts"] = dict(_parts(told["parts"]))
    return Manifest(**sections)


def _parts(told: Mapping[str, Any]) -> Iterator[tuple[str, Sidecar]]:
    known = {table.name for table in TABLES}
    for name, values in told.items():
        try:
            part = Sidecar(**values, **_UNSEALED)
            sound = part.table in known and name == f"{part.table}/{part.part:05d}"
        except (TypeError, ValueError) as error:
            raise ValueError(f"part {name}: {error}") from None
        shaped = isinstance(part.rows, int) and isinstance(part.files, dict) and isinstance(part.sets, dict)
        if not sound or not shaped:
            raise ValueError(f"part {name} is no part of a table")
        yield name, part
