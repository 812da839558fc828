"""Rows of taken-down images lose what their table's owner names; everything else, and every other part, stays."""

from moodarchive.storage.store import Store
from moodarchive.tables.forgetting import carry_inputs, forget_rows, parts_holding
from moodarchive.tables.parts import Origin, finished_parts, run_of_parts
from moodarchive.tables.schemas import CAPTIONS, ITEMS, SCORES, Table
from tests.making import ORIGIN, Row, item_row, rows_of, sentences, write_rows

WORDS = ("summary", "stimuli")


def _caption(number: int, status: str = "ok") -> Row:
    error = None if status == "ok" else "too_long"
    return {"key": item_row(number)["key"], **sentences(number), "seed": 7, "status": status, "error": error}


def _write(store: Store, table: Table, part: int, rows: list[Row], inputs: dict[str, str] | None = None) -> None:
    write_rows(store, table, part, rows, Origin(settings="test", inputs=inputs or {}, started=0.0))


def _keys(*numbers: int) -> frozenset[str]:
    return frozenset(item_row(number)["key"] for number in numbers)


def test_named_columns_of_the_keys_rows_become_null_and_nothing_else_changes(store: Store) -> None:
    _write(store, CAPTIONS, 0, [_caption(0), _caption(1), _caption(2, "failed")])
    _write(store, CAPTIONS, 1, [_caption(3)])
    before, other = rows_of(store, CAPTIONS, 0), store.read_bytes("captions/00001.parquet")
    digests = forget_rows(store, CAPTIONS, _keys(1, 2), WORDS)
    after = rows_of(store, CAPTIONS, 0)
    assert after[0] == before[0]
    assert after[1] == before[1] | {"summary": None, "stimuli": None, "status": "taken_down"}
    assert after[2] == before[2] | {"summary": None, "stimuli": None}, "a failure keeps saying why"
    assert store.read_bytes("captions/00001.parquet") == other
    assert digests == {"captions/00000": store.sha256("captions/00000.parquet")}


def test_failed_rows_fall_too_where_the_owner_says_so(store: Store) -> None:
    _write(store, CAPTIONS, 0, [_caption(0, "failed")])
    forget_rows(store, CAPTIONS, _keys(0), WORDS, failed_too=True)
    (row,) = rows_of(store, CAPTIONS, 0)
    assert (row["status"], row["error"]) == ("taken_down", None)


def test_forgetting_once_more_ends_the_same(store: Store) -> None:
    _write(store, CAPTIONS, 0, [_caption(0), _caption(1)])
    digests = forget_rows(store, CAPTIONS, _keys(0), WORDS)
    data = store.read_bytes("captions/00000.parquet")
    assert forget_rows(store, CAPTIONS, _keys(0), WORDS) == digests
    assert store.read_bytes("captions/00000.parquet") == data


def test_keys_that_no_part_holds_change_nothing(store: Store) -> None:
    assert parts_holding(store, CAPTIONS, _keys(0)) == []
    _write(store, CAPTIONS, 0, [_caption(0)])
    assert parts_holding(store, CAPTIONS, frozenset()) == []
    assert parts_holding(store, CAPTIONS, _keys(0, 5)) == [0]
    assert forget_rows(store, CAPTIONS, _keys(5), WORDS) == {}


def test_inputs_take_on_the_digests_of_parts_and_runs_that_were_written_anew(store: Store) -> None:
    for part in (0, 1):
        write_rows(store, ITEMS, part, [item_row(part)], ORIGIN)
    sidecars = finished_parts(store, ITEMS)
    run = run_of_parts(ITEMS, sidecars, [0, 1])
    inputs = {"items/00000": sidecars[0].sha256, "images/00000": "of another table", **run}
    _write(store, SCORES, 0, [{"key": item_row(0)["key"], "status": "ok"}], inputs)
    _write(store, SCORES, 1, [{"key": item_row(1)["key"], "status": "ok"}], {"items/00001": sidecars[1].sha256})
    untouched = store.read_bytes("scores/00001.json")
    digests = forget_rows(store, ITEMS, _keys(0), ("title",))
    carry_inputs(store, SCORES, digests)
    now = finished_parts(store, ITEMS)
    assert now[0].sha256 != sidecars[0].sha256
    expected = {"items/00000": now[0].sha256, "images/00000": "of another table", **run_of_parts(ITEMS, now, [0, 1])}
    assert finished_parts(store, SCORES)[0].inputs == expected
    assert store.read_bytes("scores/00001.json") == untouched
