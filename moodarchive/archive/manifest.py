"""The manifests: what a seal says of an archive, and of the verified set inside it, as typed records and as JSON."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from moodarchive.tables.keys import digest
from moodarchive.tables.layout import SEALS_FOLDER
from moodarchive.tables.parts import Sidecar
from moodarchive.tables.schemas import SCHEMA_VERSION, TABLES

IMAGE_TABLES = ("items", "images", "safety", "captions", "scores", "selection")
_UNSEALED: dict[str, Any] = {"started": 0.0, "finished": 0.0}
"""What a sidecar knows and the manifest leaves out, because it differs between equal runs."""
_JSON_TYPES: dict[Any, type] = {int: int, str: str, bool: bool}
"""The type of a plain field's value in JSON; every other field is an object."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What every manifest says. Its fields are the sections of the JSON, no more and no fewer."""

    schema_version: int = SCHEMA_VERSION
    licences: Mapping[str, int]
    """Images by licence."""

    def to_json(self) -> bytes:
        """The file's bytes; equal manifests give equal bytes."""
        return (json.dumps(self._sections(), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """The manifest. ValueError says what is wrong with a text that is none, or one of another schema version."""
        sections = json.loads(text)
        if not isinstance(sections, dict):
            raise ValueError("not an object")
        version = sections.get("schema_version")
        if version != SCHEMA_VERSION:
            raise ValueError(f"schema version {version}, this program reads {SCHEMA_VERSION}")
        for field in fields(cls):
            if type(sections.get(field.name)) is not _JSON_TYPES.get(field.type, dict):
                raise ValueError(f"no {field.name}")
        return cls(**cls._typed({field.name: sections[field.name] for field in fields(cls)}))

    def _sections(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def _typed(cls, sections: dict[str, Any]) -> dict[str, Any]:
        """The sections with records in place of plain objects."""
        return sections


@dataclass(frozen=True, kw_only=True)
class Contents(Manifest):
    """All that a seal covers; what the seal adds is its place in the history."""

    code_version: str
    settings: Mapping[str, Any]
    counts: Mapping[str, Any]
    """Parts, rows, failures by kind and bytes of each table; doubtful rows where there are any."""
    sets: Mapping[str, Any]
    """Shards and samples of each shard set."""
    sources: Mapping[str, int]
    """Images by source."""
    pruned: Mapping[str, str]
    """Parts of images/ that lost their pictures → the sha256 of what is left of them."""
    parts: Mapping[str, Sidecar]
    """The sidecars by ``table/NNNNN``, without their timings."""
    records: Mapping[str, str]
    """Every other file that is covered → its sha256."""

    @property
    def files(self) -> dict[str, str]:
        """Every file that the seal covers, with its sha256 as it lies there; sidecars and the manifest left out."""
        written = {path: sha for part in self.parts.values() for path, sha in part.files.items()}
        return written | dict(self.pruned) | dict(self.records)

    @property
    def tars(self) -> dict[str, str]:
        """The shards, with their sha256."""
        return {path: sha for part in self.parts.values() for path, sha in part.files.items() if path.endswith(".tar")}

    @property
    def image_parts(self) -> list[int]:
        """Part numbers from items/ on."""
        return sorted(part.part for part in self.parts.values() if part.table == "items")

    def of_table(self, name: str) -> list[Sidecar]:
        """The table's parts."""
        return [part for part in self.parts.values() if part.table == name]

    def digest(self) -> str:
        """16 hex digits that name these contents, whatever seals came before."""
        records = {path: sha for path, sha in self.records.items() if not path.startswith(f"{SEALS_FOLDER}/")}
        of_contents = {field.name for field in fields(Contents)}
        sections = {name: value for name, value in self._sections().items() if name in of_contents}
        return digest(sections | {"records": records})

    def _sections(self) -> dict[str, Any]:
        parts = {name: sidecar.without_timings() for name, sidecar in self.parts.items()}
        return super()._sections() | {"parts": parts}

    @classmethod
    def _typed(cls, sections: dict[str, Any]) -> dict[str, Any]:
        return super()._typed(sections) | {"parts": dict(_sidecars(sections["parts"]))}


@dataclass(frozen=True, kw_only=True)
class ArchiveManifest(Contents):
    """``manifest.json`` of a sealed archive."""

    seal: int
    changes: Mapping[str, Any]
    """What had changed since the seal before: shards as numbers, samples by reason, settings."""


@dataclass(frozen=True, kw_only=True)
class VerifiedManifest(Manifest):
    """``manifest.json`` of the verified set: held-out images whose captions people accepted."""

    name: str
    samples: int
    wanted: int
    """How many the set has at most."""
    simulated: bool
    """True: programs answered, and no person has verified anything."""
    answers_per_image: Mapping[str, int]
    """Images by how many people judged them."""
    emotions: Mapping[str, int]
    files: Mapping[str, str]
    """Every file of the set → its sha256; sidecars and the manifest left out."""


@dataclass(frozen=True, kw_only=True)
class PairManifest(Manifest):
    """``manifest.json`` of an EmoPair set; ``licences`` counts the kept pairs by their source's licence."""

    name: str
    code_version: str
    settings: Mapping[str, Any]
    pairs: int
    """All that were to be made."""
    kept: int
    reasons: Mapping[str, int]
    """Pairs that are not kept, by reason."""
    subsets: Mapping[str, int]
    """Kept pairs."""
    sets: Mapping[str, int]
    """Kept pairs by shard set."""
    classes: Mapping[str, int]
    """Kept pairs by source and target, as `fear > awe`."""
    files: Mapping[str, str]
    """Every file of the set → its sha256; sidecars and the manifest left out."""


def _sidecars(parts: Mapping[str, Any]) -> Iterator[tuple[str, Sidecar]]:
    names = {table.name for table in TABLES}
    for name, values in parts.items():
        try:
            part = Sidecar(**values, **_UNSEALED)
            sound = part.table in names and name == f"{part.table}/{part.part:05d}"
        except (TypeError, ValueError) as error:
            raise ValueError(f"part {name}: {error}") from None
        shaped = isinstance(part.rows, int) and isinstance(part.files, dict) and isinstance(part.sets, dict)
        if not sound or not shaped:
            raise ValueError(f"part {name} is no part of a table")
        yield name, part
