"""Builds an L-AVC set of drawings: pictures and records part by part, then the list of records and the seal."""

import hashlib
import io
import json
import random
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image

from moodarchive.archive.writer_lock import only_writer
from moodarchive.emotions.taxonomy import MIKELS
from moodarchive.errors import ConfigError
from moodarchive.language_edit.records import FIELDS, Row
from moodarchive.settings import SettingScope, differences, load
from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH
from pipelines.demo.pairs.captions import drawn_caption, drawn_request, mood_words
from pipelines.demo.pairs.drawing import KINDS, PAIRED_EMOTIONS, draw_paired
from pipelines.demo.pairs.moods import Mood
from pipelines.lavc.settings import LavcSettings

RECORDS, SETTINGS, PARTS = "records.jsonl", "settings.json", "parts"
ELEMENT_OF = {"face": "facial", "land": "scene", "house": "object"}
"""Of L-AVC's five elements, the three that are drawn."""
_LICENCE = {"licence": "cc0 1.0", "licence_url": "https://creativecommons.org/publicdomain/zero/1.0/"}


def read_lavc_settings(config: str) -> LavcSettings:
    """From a TOML file."""
    try:
        text = Path(config).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the settings file {config} cannot be read: {error}") from None
    return load(LavcSettings, text, config)


def build_lavc(settings: LavcSettings, root: str) -> dict[str, Any]:
    """Builds or completes the set at ``root``; returns its manifest. Equal settings give equal bytes.

    ConfigError where the root holds something else, or was begun with other settings.
    """
    store = Store(root)
    with only_writer(store):
        store.remove_drafts()
        _check_settings(store, settings)
        store.remove(MANIFEST_PATH)
        rows: list[Row] = []
        for part, first in enumerate(range(0, settings.count, settings.records_per_part)):
            last = min(first + settings.records_per_part, settings.count)
            rows += _finish_part(store, settings, part, range(first, last))
        lines = "".join(_line(row) for row in rows)
        store.write_bytes(RECORDS, lines.encode())
        return _seal(store, settings, rows)


def _check_settings(store: Store, settings: LavcSettings) -> None:
    recorded = settings.of_kind(SettingScope.PER_ROW) | {"records_per_part": settings.records_per_part}
    if store.exists(SETTINGS):
        before = json.loads(store.read_bytes(SETTINGS))
        changed = [f"{name} was {old!r}, is {new!r}" for name, old, new in differences(before, recorded)]
        if changed:
            raise ConfigError(f"{store.root} was begun with other settings: {'; '.join(changed)}; remedy: another root")
        return
    if {*store.names()} - {"crawl"}:  # the writer's heartbeat
        raise ConfigError(f"{store.root} holds something else; remedy: a new folder")
    store.write_bytes(SETTINGS, (json.dumps(recorded, indent=1, sort_keys=True) + "\n").encode())


def _finish_part(store: Store, settings: LavcSettings, part: int, numbers: range) -> list[Row]:
    """The part's records; its own file, written after its pictures, says that they are all there."""
    path = f"{PARTS}/{part:05d}.json"
    if store.exists(path):
        finished = json.loads(store.read_bytes(path))
        if all(store.exists(name) and store.sha256(name) == sha256 for name, sha256 in finished["files"].items()):
            rows: list[Row] = finished["records"]
            return rows
    records, files = [], {}
    for number in numbers:
        record, pictures = _draw(settings, number)
        records.append(record)
        for name, image in pictures.items():
            files[name] = store.write_bytes(name, _encode(image))
    finished = {"files": files, "records": records}
    store.write_bytes(path, (json.dumps(finished, ensure_ascii=False, indent=1) + "\n").encode())
    return records


def _draw(settings: LavcSettings, number: int) -> tuple[Row, dict[str, Image.Image]]:
    draw = random.Random(f"{settings.seed}/lavc/{number}")
    kind, place = KINDS[number % len(KINDS)], settings.first_place + number // len(KINDS)
    before, after = draw.sample(PAIRED_EMOTIONS, 2)
    request = drawn_request(kind, place, before, after)
    element = ELEMENT_OF[kind]
    name = f"{element}-{number:05d}"
    images = {
        f"original/{name}.png": draw_paired(kind, place, Mood(before, draw.randrange(1 << 30)), settings.size).image,
        f"edited/{name}.png": draw_paired(kind, place, Mood(after, draw.randrange(1 << 30)), settings.size).image,
    }
    record = {
        "id": name,
        "element": element,
        "image": f"original/{name}.png",
        "caption": request.caption,
        "emotion": MIKELS[before],
        "instruction": request.instruction,
        "edited_caption": drawn_caption(kind, place, after),
        "edited_emotion": MIKELS[after],
        "edited_image": f"edited/{name}.png",
        "split": split_of(element, f"{kind}/{place}", settings.test),
        "edited_span": mood_words(kind, before),
        "status": "kept",
        "reason": None,
        "checked_by": "drawn",
        "source": "drawn",
        "title": f"A drawn {kind}",
        "creator": "MoodArchive",
        **_LICENCE,
    }
    return record, images


def split_of(element: str, group: str, test: float) -> str:
    """By a digest within the element: pictures of one place fall into one split."""
    share = int.from_bytes(hashlib.sha256(f"{element}/{group}".encode()).digest()[:8], "big") / 2**64
    return "test" if share < test else "train"


def _encode(image: Image.Image) -> bytes:
    """Without loss, and without anything but the pixels."""
    sink = io.BytesIO()
    Image.frombytes("RGB", image.size, image.tobytes()).save(sink, "PNG", compress_level=6)
    return sink.getvalue()


def _line(row: Row) -> str:
    return json.dumps({name: row[name] for name in FIELDS if name in row}, ensure_ascii=False) + "\n"


def _seal(store: Store, settings: LavcSettings, rows: list[Row]) -> dict[str, Any]:
    manifest = {
        "name": "L-AVC",
        "code_version": version("moodarchive"),
        "settings": settings.of_kind(SettingScope.PER_ROW),
        **count_records(rows),
        "files": {path: store.sha256(path) for path in sorted(_sealed_paths(store))},
    }
    store.write_bytes(MANIFEST_PATH, (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())
    return manifest


def count_records(rows: list[Row]) -> dict[str, Any]:
    """What a manifest says of the records."""
    return {
        "records": len(rows),
        "kept": sum(row["status"] == "kept" for row in rows),
        "elements": dict(sorted(Counter(row["element"] for row in rows).items())),
        "splits": dict(sorted(Counter(row["split"] for row in rows).items())),
        "licences": dict(sorted(Counter(row["licence"] for row in rows).items())),
    }


def _sealed_paths(store: Store) -> Iterator[str]:
    """All but what a build notes of itself."""
    return (path for path in store.files() if not path.startswith("crawl/") and path != MANIFEST_PATH)
