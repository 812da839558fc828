"""What is taken down is gone from every table, shard and page, stays a row, and never comes back."""

import io
import json
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from moodarchive.archive.takedown import Identifiers, bound_by, read_takedowns, url_digest
from moodarchive.archive.writer_lock import only_writer
from moodarchive.errors import MoodArchiveError, RootInUseError, TakedownListError, UnmetLinesError
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import CANDIDATES, CAPTIONS, IMAGES, ITEMS, SAFETY, SCORES, SELECTION
from pipelines.browse.cache import find_caches
from pipelines.browse.serve import BrowseOptions, open_browse
from pipelines.change.matching import match_images
from pipelines.change.reseal import finish
from pipelines.change.verbs import go_on, take_down
from pipelines.inspect.report.write import write_report
from tests.making import Row, item_row, rows_of, write_rows
from tests.whole_root import PICTURES, Pictured, add_round, timeless_files
from validate.study.design.items import read_items, write_items
from validate.study.sampling.sample import SampleOptions, sample
from validate.verify import verify

BY_HASH, COPY, PLAIN = Pictured(7), Pictured(8), Pictured(10)


def _take_down(store: Store, *lines: str) -> list[str]:
    path = Path(store.root).parent / "list.txt"
    path.write_text("\n".join(lines))
    said: list[str] = []
    take_down(store, str(path), said.append)
    return said


def _rows(store: Store, table: str, parts: range = range(4)) -> dict[str, Row]:
    known = {t.name: t for t in (CANDIDATES, ITEMS, IMAGES, SAFETY, CAPTIONS, SCORES, SELECTION)}
    return {row["key"]: row for part in parts for row in rows_of(store, known[table], part)}


def _holding(store: Store, *needles: str) -> set[str]:
    """Files in which any of the words stands, compressed tables included."""
    found = {p for p in store.files() for needle in needles if needle.encode() in store.read_bytes(p)}
    tables = (("candidates", range(1)), *((name, range(4)) for name in ("items", "captions")))
    return found | {n for n, parts in tables for w in needles if w in json.dumps(list(_rows(store, n, parts).values()))}


def test_what_is_named_is_erased_everywhere_and_stays_a_row(archive: Store) -> None:
    jpeg = PLAIN.jpeg
    said = _take_down(archive, PLAIN.key)
    assert said == ["1 images taken down; what the list names is bound for all later rounds"]
    assert list(verify(archive)) == []
    for name, parts in (("candidates", range(1)), ("items", range(4))):
        row = _rows(archive, name, parts)[PLAIN.key]
        erased = ("url", "source_id", "landing_url", "title", "alt_text", "creator", "creator_url")
        assert {field: row[field] for field in erased} == dict.fromkeys(erased)
        assert row["source"] == "openverse" and row["retrieved_on"] == "2026-01-01"
    image, caption, kept = (_rows(archive, name)[PLAIN.key] for name in ("images", "captions", "selection"))
    assert (image["bytes"], image["status"]) == (None, "taken_down")
    assert (caption["summary"], caption["stimuli"], caption["emotions"], caption["status"]) == (
        None, None, None, "taken_down",
    )  # fmt: skip
    assert (kept["kept"], kept["reason"]) == (False, "taken_down")
    assert not _holding(archive, PLAIN.title, PLAIN.url, 'pages/10"', 'secret words 10"')
    assert not [path for path in archive.files() if jpeg in archive.read_bytes(path)]
    counts = json.loads(archive.read_bytes("manifest.json"))["counts"]
    assert [counts[name]["failures"].get("taken_down") for name in ("images", "captions", "selection")] == [1, 1, 1]


def test_only_the_shards_that_held_it_are_rewritten_and_no_other_verdict_changes(archive: Store) -> None:
    before, kept = timeless_files(archive), _rows(archive, "selection")
    _take_down(archive, PLAIN.key)
    after = timeless_files(archive)
    (part,) = [n for n in range(4) if PLAIN.key in {row["key"] for row in rows_of(archive, ITEMS, n)}]
    changed = {path for path in before if after.get(path) != before[path] and path.endswith(".tar")}
    assert changed == {f"shards/train/{part:05d}.tar"}
    assert {key: row for key, row in _rows(archive, "selection").items() if key != PLAIN.key} == {
        key: row for key, row in kept.items() if key != PLAIN.key
    }


@pytest.mark.parametrize("how", [BY_HASH.url, f"https://site.test/pages/{BY_HASH.number}/", "hash", BY_HASH.key])
def test_however_it_is_named_its_exact_copy_goes_with_it(archive: Store, how: str) -> None:
    sha256 = _rows(archive, "images")[BY_HASH.key]["sha256"]
    _take_down(archive, sha256 if how == "hash" else how.rstrip("/"))
    kept = _rows(archive, "selection")
    assert [kept[picture.key]["reason"] for picture in (BY_HASH, COPY)] == ["taken_down"] * 2
    assert sum(row["reason"] == "taken_down" for row in kept.values()) == 2
    assert list(verify(archive)) == []


@pytest.mark.parametrize("who", ["creator: ann müller 2", "creator: https://site.test/people/2"])
def test_all_of_a_creator_go_whatever_became_of_them(archive: Store, who: str) -> None:
    _take_down(archive, who)
    reasons = {number: _rows(archive, "selection")[Pictured(number).key]["reason"] for number in range(PICTURES)}
    expected = {number for number in range(PICTURES) if number % 6 == 2}
    # 8 shows the same picture as 7, by another creator
    assert {number for number, reason in reasons.items() if reason == "taken_down"} == {*expected, 7}
    assert not _holding(archive, 'people/2"', 'Müller 2"')
    assert list(verify(archive)) == []


def test_the_record_tells_no_address_and_no_name(archive: Store) -> None:
    _take_down(archive, PLAIN.url, "creator: Ann Müller 2")
    (takedown,) = read_takedowns(archive)
    text = archive.read_bytes(takedown.path).decode()
    assert "img.test" not in text and "ller" not in text
    assert takedown.done and PLAIN.key in takedown.met.keys


def test_the_same_list_again_touches_no_file(archive: Store) -> None:
    _take_down(archive, PLAIN.key)
    before = {path: archive.fs.info(archive.path(path))["mtime"] for path in archive.files()}
    _take_down(archive, PLAIN.key)
    assert {path: archive.fs.info(archive.path(path))["mtime"] for path in archive.files()} == before


def test_a_later_round_brings_nothing_back(archive: Store) -> None:
    _take_down(archive, PLAIN.key)
    add_round(archive, range(100, 124))
    assert finish(archive)
    assert list(verify(archive)) == []
    assert _rows(archive, "selection", range(6))[PLAIN.key]["reason"] == "taken_down"


def test_a_list_given_again_takes_what_came_since(archive: Store) -> None:
    _take_down(archive, "creator: Ann Müller 4")
    add_round(archive, range(100, 124))  # a crawl from before lists were bound, say
    assert finish(archive)
    assert any("address or creator that was taken down" in problem.what for problem in verify(archive))
    _take_down(archive, "creator: Ann Müller 4")
    assert list(verify(archive)) == []
    assert _rows(archive, "selection", range(6))[Pictured(100).key]["reason"] == "taken_down"


def test_nobody_takes_the_place_of_a_lookalike_that_was_taken_down(archive: Store) -> None:
    reasons = {p.number: _rows(archive, "selection")[p.key]["reason"] for p in (BY_HASH, COPY)}
    assert sorted(map(str, reasons.values())) == ["None", "repeat"]
    survivor = next(p for p in (BY_HASH, COPY) if reasons[p.number] is None)
    _take_down(archive, survivor.key)
    assert {_rows(archive, "selection")[p.key]["reason"] for p in (BY_HASH, COPY)} == {"taken_down"}


def test_answers_logs_and_the_report_forget_it_too(archive: Store) -> None:
    archive.write_bytes("crawl/answers/ab/abcd.json", json.dumps({"text": PLAIN.url}).encode())
    archive.write_bytes("logs/download/00000.log", b"".join(f"{Pictured(n).url}\n".encode() for n in range(PICTURES)))
    write_report(archive)
    shown = re.findall(r'data-key="(\w+)"', archive.read_bytes("report/index.html").decode())
    gone = shown[0]
    keys = [picture for picture in map(Pictured, range(PICTURES)) if picture.key == gone]
    _take_down(archive, gone)
    assert not archive.files("crawl/answers")
    page = archive.read_bytes("report/index.html").decode()
    assert gone not in page and keys[0].title not in page
    (part,) = [n for n in range(4) if gone in {row["key"] for row in rows_of(archive, ITEMS, n)}]
    assert part != 0 or not archive.exists("logs/download/00000.log")


def test_the_study_and_moodarchive_5k_forget_it(archive: Store) -> None:
    sample(archive, SampleOptions(n=12, heldout=2, seed=1))
    items = read_items(archive)
    gone = next(item for item in items if not item.gold)
    picture = f"study/captions/mturk/pictures/{gone.item}.jpg"
    archive.write_bytes(picture, b"jpeg")
    archive.write_bytes("study/captions/mturk/input.csv", f"item\n{gone.item}\n".encode())
    sink = io.BytesIO()
    pq.write_table(pa.table({"key": [gone.key]}), sink)
    archive.write_bytes("moodarchive-5k/shards/heldout/00000.parquet", sink.getvalue())
    archive.write_bytes("report/captions.html", b"<p>")
    _take_down(archive, gone.key)
    left = read_items(archive)
    assert [item.item for item in left] == [item.item for item in items]
    words = {item.item: (item.title, item.original, item.creator, *item.sentences) for item in left}
    blank = {name for name, texts in words.items() if not any(texts)}
    assert blank == {item.item for item in items if item.key == gone.key}
    assert not archive.files("moodarchive-5k") and not archive.files("study/captions/mturk")
    assert not archive.exists("report/captions.html")
    assert list(verify(archive)) == []
    write_items(archive, items)
    assert {problem.where for problem in verify(archive)} == {gone.key}


def test_a_wrong_list_changes_nothing(archive: Store) -> None:
    before = timeless_files(archive)
    with pytest.raises(TakedownListError):
        _take_down(archive, "no such thing")
    assert timeless_files(archive) == before


def test_every_line_that_met_nothing_is_named_and_the_rest_is_done(archive: Store) -> None:
    with pytest.raises(UnmetLinesError) as caught:
        _take_down(archive, "# mine", PLAIN.url, "https://img.test/no-such.jpg", "creator: Nobody", "0" * 16)
    assert caught.value.exit_code == 1
    assert re.findall(r"^  (line \d+: .*)$", str(caught.value), re.MULTILINE) == [
        "line 3: https://img.test/no-such.jpg", "line 4: Nobody", f"line 5: {'0' * 16}",
    ]  # fmt: skip
    assert "3 of 4 lines" in str(caught.value)
    assert _rows(archive, "images")[PLAIN.key]["status"] == "taken_down"
    assert list(verify(archive)) == []


@pytest.mark.parametrize("how", ["url", "page", "creator", "key", "hash"])
def test_what_was_taken_down_before_is_met_however_it_is_named_again(archive: Store, how: str) -> None:
    image = _rows(archive, "images")[PLAIN.key]
    names = {
        "url": PLAIN.url.replace("/", "//", 1).replace("///", "//"),
        "page": f"https://site.test/pages/{PLAIN.number}",
        "creator": f"creator: Ann Müller {PLAIN.number % 6}",
        "key": PLAIN.key,
        "hash": image["sha256"],
    }
    _take_down(archive, names[how])
    _take_down(archive, names[how])
    before = timeless_files(archive)
    with pytest.raises(UnmetLinesError, match="1 of 2 lines"):
        _take_down(archive, names[how], "https://img.test/no-such.jpg")
    assert {path: file for path, file in timeless_files(archive).items() if path.endswith(".tar")} == {
        path: file for path, file in before.items() if path.endswith(".tar")
    }


SPELLINGS = [
    "https://img.test/odd%20one/(%C3%A9)'.jpg?w=1&amp;h=2",
    "http://IMG.test:80/odd one/%28é%29%27.jpg?h=2&w=1#top",
    "https://img.test./odd%20one/./%28%c3%a9%29'.jpg?w=1&h=2&utm_source=mail",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_equivalent_address_means_the_image(store: Store, spelling: str) -> None:
    row = item_row(1) | {"url": "https://img.test/odd%20one/(%C3%A9)%27.jpg?w=1&h=2"}
    write_rows(store, ITEMS, 0, [row])
    met, unmet = match_images(store, Identifiers(urls=frozenset({url_digest(spelling)})))
    assert met.keys == {row["key"]} and not unmet
    other = Identifiers(urls=frozenset({url_digest("https://img.test/odd%20one/(e%CC%81)'.jpg?w=1&h=2")}))
    assert match_images(store, other) == (Identifiers(), other)


def test_while_a_run_writes_it_is_refused(archive: Store) -> None:
    with only_writer(archive), pytest.raises(RootInUseError):
        _take_down(archive, PLAIN.key)


def test_every_cache_of_browse_is_forgotten_and_one_that_stays_is_named(
    archive: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOODARCHIVE_CACHE", str(tmp_path / "own"))
    for cache in ("", str(tmp_path / "other"), str(tmp_path / "other")):
        with open_browse(archive, BrowseOptions(cache=cache), lambda line: None):
            pass
    (own, other) = find_caches(archive)
    assert own.is_relative_to(tmp_path / "own") and other.is_relative_to(tmp_path / "other")
    _take_down(archive, PLAIN.key)
    assert not own.exists() and not other.exists() and find_caches(archive) == []
    assert [path for path in (tmp_path / "own/browse").iterdir()] == []  # no note of a place is left behind

    with open_browse(archive, BrowseOptions(cache=str(tmp_path / "other")), lambda line: None):
        pass
    rmtree = shutil.rmtree
    monkeypatch.setattr(
        "pipelines.browse.cache.shutil.rmtree", lambda path, **rest: None if path == other else rmtree(path, **rest)
    )
    assert f"{other} holds thumbnails and could not be removed; remedy: remove it by hand" in _take_down(
        archive, COPY.key
    )
    assert find_caches(archive) == [other]


def test_an_open_round_is_erased_too_and_the_seal_waits_for_it(archive: Store) -> None:
    add_round(archive, range(100, 112))
    archive.remove("scores/00004.json")
    said = _take_down(archive, PLAIN.key, Pictured(100).key)
    assert "a round is open" in said[1]
    assert not archive.exists("manifest.json")
    assert _rows(archive, "images", range(5))[Pictured(100).key]["bytes"] is None
    assert not [path for path in archive.files("shards") if PLAIN.jpeg in archive.read_bytes(path)]


def test_what_is_recorded_but_not_erased_is_a_problem_and_the_next_run_ends_it(archive: Store) -> None:
    _take_down(archive, PLAIN.key)
    (takedown,) = read_takedowns(archive)
    text = archive.read_bytes(takedown.path).replace(b'"done": true', b'"done": false')
    archive.write_bytes(takedown.path, text)
    assert any("has not been carried out" in problem.what for problem in verify(archive, fast=True))
    go_on(archive)
    finish(archive)
    assert list(verify(archive)) == []


def test_a_damaged_record_stops_everything_that_it_binds(archive: Store) -> None:
    archive.write_bytes("takedowns/0123456789abcdef.json", b"{}")
    with pytest.raises(MoodArchiveError, match=r"takedowns/0123456789abcdef.json is no record.*remedy"):
        bound_by(archive)
