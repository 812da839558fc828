"""Pictures that lie in rows: read once a group, and refused when the file is no longer the one that was matched."""

from pathlib import Path

import pytest

from crawl.catalogues.catalogue import Catalogue
from crawl.catalogues.rows import row_address
from crawl.catalogues.settings import CatalogueSettings
from crawl.catalogues.stored_pictures import name_row, read_stored_pictures
from moodarchive.errors import ConfigError, RowError
from tests.pipelines.drawn_lists import drawn_rows, write_common


def _catalogue(folder: Path, rows: int = 12) -> Catalogue:
    write_common(folder / "a.parquet", drawn_rows(rows), group=5)
    return Catalogue("common", CatalogueSettings(preset="commoncatalog", files=(str(folder),)))


def _url(catalogue: Catalogue, group: int, row: int) -> str:
    (file,) = catalogue.files
    return name_row("common", file, row_address(file.name, group, row))


def test_each_key_gets_the_picture_of_its_row_and_others_none(tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path)
    rows = [
        ("k1", "common", _url(catalogue, 2, 1)),
        ("k2", "common", _url(catalogue, 0, 0)),
        ("k3", "openverse", "http://a.example/1.jpg"),
        ("k4", "common", None),
    ]
    with read_stored_pictures({"common": catalogue}, rows, 10_000_000) as stored:
        first, second = stored.read("k1"), stored.read("k2")
        assert first and second and first != second and first[:2] == second[:2] == b"\xff\xd8"
        assert stored.read("k3") is None and stored.read("k4") is None
        assert stored.read("k2") == second, "again, in any order"


def test_a_picture_that_is_too_large_or_a_row_that_is_not_there_fails_alone(tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path)
    rows = [("k1", "common", _url(catalogue, 0, 0)), ("k2", "common", _url(catalogue, 9, 9))]
    with read_stored_pictures({"common": catalogue}, rows, 100) as stored:
        for key, kind in (("k1", "too_many_bytes"), ("k2", "missing_file")):
            with pytest.raises(RowError) as caught:
                stored.read(key)
            assert caught.value.kind == kind


def test_another_file_of_the_name_no_file_and_no_catalogue_are_told_with_the_remedy(tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path)
    rows = [("k1", "common", _url(catalogue, 0, 0))]
    with pytest.raises(ConfigError, match=r"\[sources\.catalogues\.common\] back"), read_stored_pictures({}, rows, 99):
        pass
    changed = _catalogue(tmp_path, rows=20)
    with (
        pytest.raises(ConfigError, match="now it has another one"),
        read_stored_pictures({"common": changed}, rows, 99),
    ):
        pass
    (tmp_path / "a.parquet").rename(tmp_path / "b.parquet")
    moved = Catalogue("common", changed.settings)
    with pytest.raises(ConfigError, match="no such file"), read_stored_pictures({"common": moved}, rows, 99):
        pass


def test_an_address_that_a_list_itself_names_so_leads_nowhere(tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path)
    rows = [("k1", "common", "row:../../etc/passwd"), ("k2", "common", "row:a!1.2"), ("k3", "common", "row:!!.")]
    with read_stored_pictures({"common": catalogue}, rows[:1], 99) as stored:
        assert stored.read("k1") is None
    for row in rows[1:]:
        with read_stored_pictures({"common": catalogue}, [row], 99) as stored:
            assert stored.read(row[0]) is None
