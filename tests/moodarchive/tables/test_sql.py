"""Tables are read as views: all parts together, or an empty one."""

import os
import tempfile
from pathlib import Path

import pytest

from crawl.sites.listed import open_database
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import CAPTIONS, ITEMS, SELECTION
from moodarchive.tables.sql import PART, connect, spill_folder, view
from tests.making import write_earlier_rows, write_rows


def test_a_view_of_no_parts_is_empty_and_has_the_columns(store: Store) -> None:
    with connect(store) as connection:
        view(connection, store, ITEMS, [])
        found = connection.sql("SELECT key, queries[1].emotion, width FROM items")
        assert found.fetchall() == []
        view(connection, store, SELECTION, [], "key, kept")
        assert connection.sql("SELECT * FROM selection").columns == ["key", "kept"]


def test_a_view_holds_the_parts_asked_for_and_no_other(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "it's a root, [with] marks*"))
    for part in range(3):
        write_rows(store, SELECTION, part, [{"key": f"k{part}", "kept": True}])
    with connect(store) as connection:
        view(connection, store, SELECTION, [0, 2])
        assert connection.sql("SELECT key FROM selection ORDER BY key").fetchall() == [("k0",), ("k2",)]
        view(connection, store, SELECTION, [1])
        assert connection.sql("SELECT key FROM selection").fetchall() == [("k1",)]


@pytest.mark.parametrize("earlier", [(), (0,), (1,), (0, 1, 2)], ids=str)
def test_a_column_that_came_later_is_null_in_parts_that_lack_it(store: Store, earlier: tuple[int, ...]) -> None:
    for part in range(3):
        write_rows(store, CAPTIONS, part, [{"key": f"k{part}", "status": "ok", "nudity": True}])
    for part in earlier:
        write_earlier_rows(store, CAPTIONS, part)
    nudity = [None if part in earlier else True for part in range(3)]
    with connect(store) as connection:
        view(connection, store, CAPTIONS, range(3), f"key, nudity, {PART}")
        rows = connection.sql("SELECT key, nudity, part FROM captions ORDER BY key").fetchall()
        assert rows == [(f"k{part}", nudity[part], part) for part in range(3)]
        view(connection, store, CAPTIONS, range(3))
        assert connection.sql("FROM captions").columns == CAPTIONS.schema.names
        assert connection.sql("SELECT nudity FROM captions ORDER BY key").fetchall() == [(one,) for one in nudity]
        view(connection, store, CAPTIONS, range(3), "key, status")
        assert connection.sql("SELECT count(*) FROM captions WHERE status = 'ok'").fetchall() == [(3,)]


def test_what_does_not_fit_into_memory_leaves_the_working_directory_alone(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    monkeypatch.chdir(tmp_path / "here")
    with connect(store, memory_limit="60MB", threads=1) as connection:
        connection.execute("CREATE TABLE large AS SELECT hash(range) AS a, hash(range + 1) AS b FROM range(8_000_000)")
        assert os.listdir(spill_folder())
        with open_database() as listed:
            (folder,) = listed.sql("SELECT current_setting('temp_directory')").fetchall()[0]
    assert Path(folder).parent == tmp_path / "scratch" and os.listdir(".") == []
