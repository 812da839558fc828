"""Makes a root of schema version 2 out of one of version 3, by what version 2 wrote; knows nothing of the migration."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from moodarchive.storage.store import Store

FOLDERS = {"items": "dealt", "rediscovered": "requeried", "selection": "kept", "human_verdicts": "verdicts"}
VERIFIED = "moodarchive-5k"


def write_version_2(store: Store, lacking: Mapping[str, tuple[str, ...]] | None = None) -> None:
    """Rewrites the local root in place; ``lacking`` names columns that tables shall not have had yet.

    A sealed root ends sealed: its manifest and its last record say what version 2 would have said.
    """
    root = Path(store.root)
    fresh = _drop_columns(root, lacking or {})
    for path in sorted(root.glob("*/*.json")):
        fields = json.loads(path.read_bytes())
        if "schema_version" in fields and path.stem.isdigit() and path.parent.name != "seals":
            _write(path, _part(root, fields, fresh), compact=True)
    _write_verdict_inputs(root)
    for folder, earlier in FOLDERS.items():
        if (root / folder).exists():
            (root / folder).rename(root / earlier)
    for path in root.glob("rounds/*.json"):
        fields = json.loads(path.read_bytes())
        growth = _renamed(fields["growth"], {"merge": "deal"})
        _write(path, {**_renamed(fields, {"merged": "dealt"}), "growth": growth}, compact=True)
    _write(root / "settings.json", json.loads((root / "settings.json").read_bytes()) | {"schema_version": 2})
    for path in (*root.glob(f"{VERIFIED}/shards/*.json"), *root.glob(f"{VERIFIED}/manifest.json")):
        _write(path, json.loads(path.read_bytes()) | {"schema_version": 2}, compact=path.parent.name == "shards")
    if (root / "manifest.json").exists():
        _seal(root)


def _drop_columns(root: Path, lacking: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """The digests of the parts that were written without the columns; a pruned part is known by what it was before."""
    fresh: dict[str, str] = {}
    record = root / "pruned.json"
    pruned = json.loads(record.read_bytes()) if record.exists() else {"files": {}}
    for table, columns in lacking.items():
        for path in sorted((root / table).glob("*.parquet")):
            pq.write_table(pq.ParquetFile(path).read().drop_columns(list(columns)), path)
            if f"{table}/{path.name}" in pruned["files"]:
                pruned["files"][f"{table}/{path.name}"] |= {"left": _sha256(path), "size": path.stat().st_size}
            else:
                fresh[f"{table}/{path.stem}"] = _sha256(path)
    if pruned["files"]:
        _write(record, pruned)
    return fresh


def _input(name: str, sha256: str, fresh: Mapping[str, str]) -> str:
    """The digest of a part, or of a run of parts, as the fresh ones make it."""
    table, _, numbers = name.partition("/")
    if "-" not in numbers or not any(part.startswith(f"{table}/") for part in fresh):
        return fresh.get(name, sha256)
    first, last = map(int, numbers.split("-"))
    return _digest([fresh[f"{table}/{part:05d}"] for part in range(first, last + 1)])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def _part(root: Path, fields: dict[str, Any], fresh: Mapping[str, str]) -> dict[str, Any]:
    files = {}
    for path, sha256 in fields["files"].items():
        files[_earlier(path)] = fresh.get(path.removesuffix(".parquet"), sha256)
    if f"{fields['table']}/{fields['part']:05d}" in fresh:
        fields["bytes"] = (root / fields["table"] / f"{fields['part']:05d}.parquet").stat().st_size
    inputs = {_earlier(name): _input(name, sha256, fresh) for name, sha256 in fields["inputs"].items()}
    table = FOLDERS.get(fields["table"], fields["table"])
    return {**fields, "table": table, "files": files, "inputs": inputs, "schema_version": 2}


def _write_verdict_inputs(root: Path) -> None:
    """The digest of what verdicts were made from, as version 2 took it."""
    sources = ("items", "images", "safety", "captions", "scores", "repeats", "rediscovered")
    digests = {
        FOLDERS.get(table, table): shas
        for table in sources
        if (shas := [next(iter(fields["files"].values())) for fields in _sidecars(root / table)]) or table != "repeats"
    }
    for path in sorted((root / "selection").glob("*.json")):
        _write(path, json.loads(path.read_bytes()) | {"inputs": {"tables": _digest(digests)}}, compact=True)


def _seal(root: Path) -> None:
    manifest = json.loads((root / "manifest.json").read_bytes())
    last = root / "seals" / f"{manifest['seal']:04d}.json"
    for path in (root / "manifest.json", *root.glob("seals/*.json")):
        fields = json.loads(path.read_bytes())
        fields["counts"] = _renamed(fields["counts"], FOLDERS)
        fields["settings"] |= {"schema_version": 2}
        _write(path, fields)
    manifest = json.loads((root / "manifest.json").read_bytes()) | {"schema_version": 2}
    folders = [FOLDERS.get(name.split("/")[0], name.split("/")[0]) for name in manifest["parts"]]
    sidecars = [fields for folder in dict.fromkeys(folders) for fields in _sidecars(root / folder)]
    untimed = ("started", "finished", "measured")
    manifest["parts"] = {
        f"{fields['table']}/{fields['part']:05d}": {n: v for n, v in fields.items() if n not in untimed}
        for fields in sidecars
    }
    for table in manifest["counts"]:
        manifest["counts"][table]["bytes"] = sum(part["bytes"] for part in sidecars if part["table"] == table)
    _write(last, json.loads(last.read_bytes()) | {"counts": manifest["counts"], "contents": "of version 2"})
    manifest["records"] = {path: _sha256(root / path) for path in manifest["records"]}
    if (root / "pruned.json").exists():
        pruned = json.loads((root / "pruned.json").read_bytes())["files"]
        manifest["pruned"] = {path: file["left"] for path, file in pruned.items()}
    _write(root / "manifest.json", manifest)


def _sidecars(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json")) if path.stem.isdigit()]


def _earlier(name: str) -> str:
    folder, slash, rest = name.partition("/")
    return f"{FOLDERS.get(folder, folder)}{slash}{rest}"


def _renamed(fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in fields.items()}


def _write(path: Path, fields: Any, *, compact: bool = False) -> None:
    form: dict[str, Any] = {"separators": (",", ":")} if compact else {"indent": 1}
    path.write_text(json.dumps(fields, sort_keys=True, ensure_ascii=False, **form) + "\n")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
