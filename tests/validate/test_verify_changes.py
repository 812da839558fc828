"""Damage to what changes leave behind is found: credits, takedowns, what was pruned."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from moodarchive.archive.takedown import read_takedowns
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import CANDIDATES, CAPTIONS, IMAGES, ITEMS
from pipelines.change.verbs import prune, take_down
from shards.history import read_entry
from shards.seal import seal
from tests.making import rows_of, write_rows
from tests.whole_root import Pictured, built_root
from validate.verify import verify

GONE = Pictured(10)


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with a takedown and, after it, a prune."""
    folder = tmp_path_factory.mktemp("changed")
    store = Store(str(folder / "root"))
    built_root(store, pictures=26)
    (folder / "list.txt").write_text(f"{GONE.url}\ncreator: Ann Müller 2\n")
    take_down(store, str(folder / "list.txt"), lambda _: None)
    prune(store, lambda _: None)
    return folder / "root"


@pytest.fixture
def archive(changed: Path, tmp_path: Path) -> Store:
    shutil.copytree(changed, tmp_path / "root")
    return Store(str(tmp_path / "root"))


def _problems(store: Store, fast: bool = False) -> dict[str, str]:
    found: dict[str, str] = {}
    for problem in verify(store, fast=fast):
        found[problem.where] = "; ".join(filter(None, (found.get(problem.where), problem.what)))
    return found


def _change_json(store: Store, path: str, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(store.read_bytes(path))
    change(value)
    store.write_bytes(path, json.dumps(value).encode())


def _record(store: Store) -> str:
    (takedown,) = read_takedowns(store)
    return takedown.path


@pytest.mark.parametrize("fast", [False, True])
def test_the_changed_archive_is_sound(archive: Store, fast: bool) -> None:
    assert _problems(archive, fast) == {}


@pytest.mark.parametrize(
    "kind", ["pruned.json", "takedown", "seals/0000.json", "seals/0001.parquet", "seals/0002.json"]
)
@pytest.mark.parametrize("damage", ["missing", "flipped", "cut short", "too many"])
def test_the_new_files_missing_or_damaged_are_named(archive: Store, kind: str, damage: str) -> None:
    path = _record(archive) if kind == "takedown" else kind
    whole = bytearray(archive.read_bytes(path))
    if damage == "missing":
        archive.remove(path)
    elif damage == "too many":
        path = path.replace("0", "9", 1) if "0" in path else path + ".bak"
        archive.write_bytes(path, bytes(whole))
    elif damage == "cut short":
        archive.write_bytes(path, bytes(whole[:-5]))
    else:
        whole[len(whole) // 2] ^= 1
        archive.write_bytes(path, bytes(whole))
    assert path in _problems(archive, fast=True)


def test_a_takedown_that_was_not_carried_out_is_named(archive: Store) -> None:
    path = _record(archive)
    _change_json(archive, path, lambda told: told.update(done=False))
    assert "has not been carried out" in _problems(archive, fast=True)[path]


def test_a_prune_that_was_not_carried_out_is_named(archive: Store) -> None:
    _change_json(archive, "pruned.json", lambda told: told.update(done=False))
    assert "this prune has not been carried out" in _problems(archive, fast=True)["pruned.json"]


@pytest.mark.parametrize("field", ["whole", "left"])
def test_a_stale_record_of_what_was_pruned_is_named_under_a_new_digest(archive: Store, field: str) -> None:
    _change_json(archive, "pruned.json", lambda told: told["files"]["images/00000.parquet"].update({field: "0" * 64}))
    digest = archive.sha256("pruned.json")
    _change_json(archive, "manifest.json", lambda manifest: manifest["records"].update({"pruned.json": digest}))
    assert set(_problems(archive, fast=True)) == {"pruned.json"}


def test_a_pruned_file_that_holds_something_else_is_named(archive: Store) -> None:
    path = "images/00000.parquet"
    data = bytearray(archive.read_bytes(path))
    data[len(data) // 2] ^= 1
    archive.write_bytes(path, bytes(data))
    assert "not those that were sealed" in _problems(archive, fast=True)[path]


LEFT: dict[str, tuple[Any, dict[str, object], str]] = {
    "title in candidates": (CANDIDATES, {"title": "Secret"}, "candidates still tell of it"),
    "address in items": (ITEMS, {"url": "https://img.test/new.jpg"}, "items still tells of it"),
    "page in items": (ITEMS, {"landing_url": "https://site.test/x"}, "items still tells of it"),
    "picture in images": (IMAGES, {"bytes": b"jpeg"}, "images still hold it"),
    "status of images": (IMAGES, {"status": "ok"}, "images still hold it"),
    "sentence in captions": (CAPTIONS, {"summary": "A secret."}, "it still has a caption"),
}


@pytest.mark.parametrize("kind", list(LEFT))
def test_anything_left_of_a_taken_down_image_is_found_even_under_a_new_seal(archive: Store, kind: str) -> None:
    table, change, what = LEFT[kind]
    parts = [part for part in range(3) if archive.exists(f"{table.name}/{part:05d}.json")]
    for part in parts:
        rows = rows_of(archive, table, part)
        if GONE.key in {row["key"] for row in rows}:
            write_rows(archive, table, part, [row | (change if row["key"] == GONE.key else {}) for row in rows])
    seal(archive)
    assert what in _problems(archive)[GONE.key]


@pytest.mark.parametrize("change", [{"url": "http://img.test:80/10.jpg"}, {"creator": "ANN  müller 2"}])
def test_another_row_of_a_bound_address_or_creator_is_found(archive: Store, change: dict[str, object]) -> None:
    rows = rows_of(archive, ITEMS, 0)
    other = next(row for row in rows if row["url"])
    write_rows(archive, ITEMS, 0, [row | (change if row is other else {}) for row in rows])
    seal(archive)
    assert "of an address or creator that was taken down" in _problems(archive)[other["key"]]


def test_pages_answers_and_logs_that_name_it_are_found(archive: Store) -> None:
    archive.write_bytes("report/index.html", f'<li data-key="{GONE.key}">'.encode())
    archive.write_bytes("crawl/answers/ab/ab.json", json.dumps({"text": f"see {GONE.url}#x"}).encode())
    archive.write_bytes("logs/download/00000.log", f"GET {GONE.url} failed".encode())
    assert set(_problems(archive)) == {"report/index.html", "crawl/answers/ab/ab.json", "logs/download/00000.log"}


CREDITS: dict[str, tuple[Callable[[list[dict[str, Any]]], object], str]] = {
    "a row less": (lambda rows: rows.pop(), "kept, but not named"),
    "a row too many": (lambda rows: rows.append({**rows[0], "key": "0" * 16}), "named, but not kept"),
    "a row twice": (lambda rows: rows.append(rows[0]), "named more than once"),
    "another creator": (lambda rows: rows[0].update(creator="Somebody"), "named, but not as items/ tells"),
    "another licence": (lambda rows: rows[0].update(licence="cc0 1.0"), "named, but not as items/ tells"),
    "no title": (lambda rows: rows[0].update(title=None), "named, but not as items/ tells"),
}


@pytest.mark.parametrize("kind", list(CREDITS))
def test_credits_that_are_not_those_of_the_kept_rows_are_found(archive: Store, kind: str) -> None:
    change, what = CREDITS[kind]
    path = "ATTRIBUTION.parquet"
    table = pq.read_table(archive.path(path))
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), archive.path(path))
    digest = archive.sha256(path)
    _change_json(archive, "manifest.json", lambda manifest: manifest["records"].update({path: digest}))
    problems = _problems(archive)
    assert list(problems) == [path] and what in problems[path]


def test_the_history_tells_of_takedown_and_prune(archive: Store) -> None:
    assert set(read_entry(archive, 1).changes["samples_out"]) == {"taken_down"}
    assert read_entry(archive, 2).changes["shards_rewritten"] == 0
