"""The archive's Croissant metadata, croissant.json, by which dataset search engines and loaders find their way in."""

import json
from collections.abc import Mapping
from typing import Any

from moodarchive.archive.manifest import Contents
from moodarchive.tables.layout import PRIVATE, SETS
from moodarchive.tables.schemas import SHARD_INDEX
from shards.attribution import ATTRIBUTION_PATH, COLUMNS
from shards.licences import licence_address

CROISSANT_PATH = "croissant.json"
_TERMS = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format",
    "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
    "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    **{term: f"cr:{term}" for term in _TERMS},
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
}
"""The terms of Croissant 1.0; mlcroissant expects them all, used or not."""
_DESCRIPTION = (
    "Pictures that were searched for by emotion, 27 emotions in 4 contexts, each with a machine-written caption of "
    "five sentences, its licence and its creator. README.md tells what they are good for and what they are not."
)
_TYPES = {"string": "sc:Text", "int64": "sc:Integer"}
_PAPER = "Moodifier, arXiv:2507.14024"


def render_croissant(contents: Contents, attribution_sha256: str) -> str:
    """The metadata's text. Sets that may not be passed on are left out."""
    public = [name for name in SETS if name in contents.sets and name != PRIVATE]
    addresses = {licence_address(name) for name in contents.licences} - {None}
    about = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": "MoodArchive",
        "description": _DESCRIPTION,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "citeAs": _PAPER,
        "version": contents.code_version,
        "license": sorted(filter(None, addresses)) or "https://creativecommons.org/licenses/",
        "distribution": [
            _attribution_file(attribution_sha256),
            *(entry for name in public for entry in _files_of_set(name)),
        ],
        "recordSet": [_attribution_records(), *(_samples_of_set(name) for name in public)],
    }
    return json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _attribution_file(sha256: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": "attribution-file",
        "name": ATTRIBUTION_PATH,
        "description": "Title, creator, licence and landing page of every image.",
        "contentUrl": ATTRIBUTION_PATH,
        "encodingFormat": "application/x-parquet",
        "sha256": sha256,
    }


def _files_of_set(name: str) -> list[dict[str, Any]]:
    """The set's tars, and the indexes beside them."""
    kinds = (("tars", "application/x-tar", "tar"), ("index", "application/x-parquet", "parquet"))
    return [
        {
            "@type": "cr:FileSet",
            "@id": f"{name}-{kind}",
            "name": f"{name}-{kind}",
            "description": f"WebDataset shards of the set {name}: {kind}.",
            "encodingFormat": mime,
            "includes": f"shards/{name}/*.{suffix}",
        }
        for kind, mime, suffix in kinds
    ]


def _attribution_records() -> dict[str, Any]:
    fields = [
        _field("attribution", name, "sc:Text", {"fileObject": {"@id": "attribution-file"}, "extract": {"column": name}})
        for name in COLUMNS
    ]
    return {"@type": "cr:RecordSet", "@id": "attribution", "name": "attribution", "field": fields}


def _samples_of_set(name: str) -> dict[str, Any]:
    """Where each sample lies: mlcroissant reads tables, but looks into no tar of a file set."""
    fields = [
        _field(name, column, _TYPES[field], {"fileSet": {"@id": f"{name}-index"}, "extract": {"column": column}})
        for column, field in ((field.name, str(field.type)) for field in SHARD_INDEX.schema)
    ]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "key": {"@id": f"{name}/key"}, "field": fields}


def _field(record_set: str, name: str, kind: str, source: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": name,
        "dataType": kind,
        "source": dict(source),
    }
