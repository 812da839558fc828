"""Candidates become one row an image, in a part that never changes, whatever later rounds find."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest

from crawl.rounds.merge import MergeSettings, merge_candidates
from crawl.rounds.rounds import Round, open_round, read_round, read_rounds, write_round
from crawl.source import Query
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest, image_key, normalise_url
from moodarchive.tables.parts import finished_parts, sidecar_path
from moodarchive.tables.schemas import CANDIDATES, ITEMS, REDISCOVERED
from tests.making import Row, rows_of, write_rows


def candidate(name: str, *, url: str | None = None, phrase: str = "meadow", rank: int = 0, **more: object) -> Row:
    return {
        "key": image_key("stock", name), "url": url or f"http://a.example/{name}.jpg", "source": "stock",
        "source_id": name, "title": f"title of {name}", "licence": "cc0 1.0", "emotion": "joy",
        "context": "natural_scenery", "phrase": phrase, "rank": rank, "retrieved_on": "2026-01-01", "round": 0, **more,
    }  # fmt: skip


def _opened(store: Store, rows: Iterable[Row]) -> Round:
    """The next round, its candidates found."""
    rounds = read_rounds(store)
    number = len(rounds)
    query = Query(source="stock", emotion="joy", context="natural_scenery", phrase=f"round {number}", results=10)
    record = open_round(store, rounds, [query], {}, 10)
    assert record is not None
    write_rows(store, CANDIDATES, record.first_candidates_part, [{**row, "round": number} for row in rows])
    return record


def _all(store: Store, parts: Iterable[int]) -> list[Row]:
    return [row for part in parts for row in rows_of(store, ITEMS, part)]


def _many(count: int, seed: int = 0) -> list[Row]:
    """Each of ``count`` images found by one to three queries, in a scattered order."""
    random = Random(seed)
    rows = [
        candidate(str(i), phrase=phrase, rank=random.randrange(20), emotion=random.choice(["joy", "fear"]))
        for i in range(count)
        for phrase in random.sample(["meadow", "sun", "sea"], random.randint(1, 3))
    ]
    random.shuffle(rows)
    return rows


def _bytes(store: Store) -> dict[str, bytes]:
    return {path: store.read_bytes(path) for path in store.files("items") if path.endswith(".parquet")}


def test_the_queries_of_an_image_are_merged_best_rank_first(store: Store) -> None:
    found = [
        candidate("a", phrase="sun", rank=7, title="as seen at rank 7"),
        candidate("a", phrase="sea", rank=2, emotion="fear", title="as seen at rank 2"),
        candidate("a", phrase="meadow", rank=5, title="as seen at rank 5"),
    ]
    merge_candidates(store, _opened(store, found), MergeSettings())
    (row,) = _all(store, [0])
    assert [(q["rank"], q["phrase"], q["emotion"]) for q in row["queries"]] == [
        (2, "sea", "fear"),
        (5, "meadow", "joy"),
        (7, "sun", "joy"),
    ]
    assert row["title"] == "as seen at rank 2"
    assert (row["key"], row["licence"], row["retrieved_on"]) == (image_key("stock", "a"), "cc0 1.0", "2026-01-01")


def test_two_identifiers_of_one_address_are_one_image(store: Store) -> None:
    found = [
        candidate("a", url="https://A.example/x.jpg?utm_source=feed", phrase="sun", rank=3),
        candidate("b", url="http://a.example/x.jpg", phrase="sea", rank=1),
        candidate("c", url="http://a.example/X.jpg"),
    ]
    merge_candidates(store, _opened(store, found), MergeSettings())
    rows = {row["key"]: [q["phrase"] for q in row["queries"]] for row in _all(store, [0])}
    survivor = min(image_key("stock", "a"), image_key("stock", "b"))
    assert rows == {survivor: ["sea", "sun"], image_key("stock", "c"): ["meadow"]}


def test_every_image_is_in_the_part_of_its_key_and_parts_are_sorted(store: Store) -> None:
    record = merge_candidates(store, _opened(store, _many(500)), MergeSettings(rows_per_part=60))
    assert (record.merged, record.parts, record.image_parts) == (True, 9, range(0, 9))
    for part in record.image_parts:
        keys = [row["key"] for row in rows_of(store, ITEMS, part)]
        assert keys == sorted(keys)
        assert {int(key, 16) % 9 for key in keys} == {part}
    rows = _all(store, record.image_parts)
    assert {row["key"] for row in rows} == {image_key("stock", str(i)) for i in range(500)}
    assert len(rows) == 500


def test_a_later_round_adds_parts_and_leaves_the_earlier_ones(store: Store) -> None:
    first = merge_candidates(store, _opened(store, _many(300)), MergeSettings(rows_per_part=50))
    before, sidecars = _bytes(store), finished_parts(store, ITEMS)
    later = [*_many(300, seed=9), *(candidate(f"new {i}") for i in range(45))]
    same_file = candidate("another id", url="https://a.example/7.jpg#top")
    second = merge_candidates(store, _opened(store, [*later, same_file]), MergeSettings(rows_per_part=20))
    assert second.image_parts == range(first.parts, first.parts + 3)
    rows = _all(store, second.image_parts)
    assert sorted(row["key"] for row in rows) == sorted(image_key("stock", f"new {i}") for i in range(45))
    assert {row["round"] for row in rows} == {1}
    assert all(
        int(row["key"], 16) % 3 == part - first.parts
        for part in second.image_parts
        for row in rows_of(store, ITEMS, part)
    )
    assert {path: data for path, data in _bytes(store).items() if path in before} == before
    assert {part: finished_parts(store, ITEMS)[part] for part in first.image_parts} == sidecars


def test_a_known_image_at_a_new_address_is_not_dealt_again(store: Store) -> None:
    merge_candidates(store, _opened(store, [candidate("a")]), MergeSettings())
    moved = candidate("a", url="http://b.example/moved.jpg")
    record = merge_candidates(store, _opened(store, [moved, candidate("b")]), MergeSettings())
    assert [row["key"] for row in _all(store, record.image_parts)] == [image_key("stock", "b")]


def test_what_shares_an_address_with_a_moved_known_image_is_that_image(store: Store) -> None:
    names = sorted(("a", "b"), key=lambda name: image_key("stock", name))
    for order in (names, names[::-1]):
        root = Store(f"{store.root}-{order[0]}")
        known, other = order
        merge_candidates(root, _opened(root, [candidate(known)]), MergeSettings())
        moved = "http://b.example/moved.jpg"
        found = [candidate(known, url=moved, phrase="sun"), candidate(other, url=moved, phrase="sea"), candidate("c")]
        record = merge_candidates(root, _opened(root, found), MergeSettings())
        assert [row["key"] for row in _all(root, record.image_parts)] == [image_key("stock", "c")]
        (anew,) = rows_of(root, REDISCOVERED, 1)
        assert anew["key"] == image_key("stock", known) and anew["round"] == 1
        assert [query["phrase"] for query in anew["queries"]] == ["sea", "sun"]


def test_addresses_join_images_by_way_of_others(store: Store) -> None:
    names = sorted(map(str, range(4)), key=lambda name: image_key("stock", name))
    urls = ["http://a.example/1.jpg", "http://a.example/2.jpg", "http://a.example/3.jpg"]
    # the smallest key is met by the last link only: 3-2 by the first address, 2-1 by the second, 1-0 by the third
    links = [(names[3], urls[0]), (names[2], urls[0]), (names[2], urls[1]), (names[1], urls[1]), (names[1], urls[2])]
    found = [candidate(name, url=url, phrase=f"{name} {url[-5]}") for name, url in (*links, (names[0], urls[2]))]
    merge_candidates(store, _opened(store, found), MergeSettings())
    (row,) = _all(store, [0])
    assert row["key"] == image_key("stock", names[0])
    assert len(row["queries"]) == 6


def test_queries_that_find_a_known_image_anew_belong_to_their_round(store: Store) -> None:
    merge_candidates(store, _opened(store, [candidate("a"), candidate("b")]), MergeSettings())
    assert rows_of(store, REDISCOVERED, 0) == []
    found = [
        candidate("a", phrase="sea", rank=4, emotion="fear"),
        candidate("a", phrase="sun", rank=1),
        candidate("b id", url="https://a.example/b.jpg?utm_source=x", phrase="storm"),
        candidate("c"),
    ]
    merge_candidates(store, _opened(store, found), MergeSettings())
    rows = {row["key"]: row for row in rows_of(store, REDISCOVERED, 1)}
    assert list(rows) == sorted((image_key("stock", "a"), image_key("stock", "b")))
    asked = [(query["rank"], query["phrase"], query["emotion"]) for query in rows[image_key("stock", "a")]["queries"]]
    assert asked == [(1, "sun", "joy"), (4, "sea", "fear")]
    source = finished_parts(store, CANDIDATES)[1].sha256
    assert finished_parts(store, REDISCOVERED)[1].inputs == {"candidates/00001-00001": digest([source])}


def test_a_round_that_is_dealt_is_left_alone(store: Store) -> None:
    record = merge_candidates(store, _opened(store, _many(20)), MergeSettings())
    before = finished_parts(store, ITEMS)
    assert merge_candidates(store, record, MergeSettings(rows_per_part=3)) == record == read_round(store, 0)
    assert finished_parts(store, ITEMS) == before


@pytest.mark.parametrize("finished", [0, 2, 6])
def test_a_deal_killed_midway_is_finished_with_equal_bytes(store: Store, tmp_path: Path, finished: int) -> None:
    settings = MergeSettings(rows_per_part=50)
    record = _opened(store, _many(300))
    merge_candidates(store, record, settings)
    whole = _bytes(store)
    killed = Store(str(tmp_path / "killed"))
    shutil.copytree(store.root, killed.root)
    write_round(killed, record)  # as it was before the merge's end
    for part in range(finished, 6):
        os.unlink(killed.path(sidecar_path(ITEMS, part)))
        os.unlink(killed.path(f"items/{part:05d}.parquet"))
    assert merge_candidates(killed, record, settings).parts == 6
    assert _bytes(killed) == whole


def test_rows_in_another_order_give_equal_bytes(store: Store, tmp_path: Path) -> None:
    other = Store(str(tmp_path / "other"))
    rows = _many(200)
    merge_candidates(store, _opened(store, rows), MergeSettings(rows_per_part=50))
    merge_candidates(other, _opened(other, reversed(rows)), MergeSettings(rows_per_part=50))
    assert _bytes(store) == _bytes(other)


def test_a_part_that_no_key_falls_into_is_empty_and_there(store: Store) -> None:
    names = [str(i) for i in range(2000) if int(image_key("stock", str(i)), 16) % 3 == 1][:3]
    record = merge_candidates(store, _opened(store, map(candidate, names)), MergeSettings(rows_per_part=1))
    assert [finished_parts(store, ITEMS)[part].rows for part in record.image_parts] == [0, 3, 0]


def test_a_round_that_found_nothing_has_one_empty_part(store: Store) -> None:
    record = merge_candidates(store, _opened(store, []), MergeSettings())
    assert record.parts == 1
    assert rows_of(store, ITEMS, 0) == []


def test_a_round_that_found_only_known_images_has_an_empty_part(store: Store) -> None:
    merge_candidates(store, _opened(store, _many(30)), MergeSettings())
    record = merge_candidates(store, _opened(store, _many(30, seed=2)), MergeSettings())
    assert record.image_parts == range(1, 2)
    assert rows_of(store, ITEMS, 1) == []


def test_one_mad_address_does_not_end_the_deal(store: Store) -> None:
    urls = ["http://a.example:99999/x.jpg", "http://[::1/x", "", "no url", "http://ü.example/\x00?%FF"]
    merge_candidates(
        store, _opened(store, [candidate(str(i), url=url or " ") for i, url in enumerate(urls)]), MergeSettings()
    )
    assert len(_all(store, [0])) == 5


def test_the_parts_know_what_they_were_dealt_from(store: Store) -> None:
    merge_candidates(store, _opened(store, _many(30)), MergeSettings(rows_per_part=10))
    source = finished_parts(store, CANDIDATES)[0].sha256
    made_from = {"candidates/00000-00000": digest([source])}
    assert [sidecar.inputs for sidecar in finished_parts(store, ITEMS).values()] == [made_from] * 3
    assert {normalise_url(row["url"]) for row in _all(store, range(3))} == {
        normalise_url(candidate(str(i))["url"]) for i in range(30)
    }
