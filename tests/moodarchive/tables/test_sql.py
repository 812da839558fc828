"""Tables are read as views: all parts together, or an empty one."""

from pathlib import Path

from moodarchive.storage.store import Store
from moodarchive.tables.schemas import ITEMS, SELECTION
from moodarchive.tables.sql import connect, view
from tests.making import write_rows


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
