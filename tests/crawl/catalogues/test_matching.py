"""The match of a list's files: the same answers however they are spread, and without rows that others outrank."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crawl.catalogues import matching
from crawl.catalogues.catalogue import Catalogue
from crawl.catalogues.matching import match_catalogue
from crawl.catalogues.settings import CatalogueSettings
from crawl.source import Query
from moodarchive.running.parallel_map import in_threads
from moodarchive.storage.store import Store

CAPTIONS = (
    "a crying child",
    "the child cries in the rain",
    "rain on a window",
    "old man crying",
    "a child, crying child",
)


def test_files_matched_in_waves_answer_as_files_matched_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "list").mkdir()
    for file in range(9):
        captions = [CAPTIONS[(file + row) % len(CAPTIONS)] + " indeed" * (row % 3) for row in range(12)]
        columns = {
            "id": [f"{file}-{row}" for row in range(12)],
            "url": [f"https://pictures.example/{file}-{row}.jpg" for row in range(12)],
            "caption": captions,
            "width": [800] * 12,
            "height": [600] * 12,
            "license": ["https://creativecommons.org/publicdomain/zero/1.0/"] * 12,
        }
        pq.write_table(pa.table(columns), tmp_path / "list" / f"{file}.parquet")
    settings = CatalogueSettings(preset="own", files=(str(tmp_path / "list"),), results_per_query=7)
    catalogue = Catalogue(name="mine", settings=settings)
    queries = [
        Query(source="mine", emotion="sadness", context="portrait", phrase=phrase, results=7, release=catalogue.release)
        for phrase in ("crying child", "child in rain", "old man at window")
    ]
    waves = Store(str(tmp_path / "waves"))
    answers = match_catalogue(waves, catalogue, queries, in_threads)
    monkeypatch.setattr(matching, "_FILES_OF_FIRST_WAVE", 100)
    at_once = Store(str(tmp_path / "at_once"))
    assert match_catalogue(at_once, catalogue, queries, in_threads) == answers
    path = f"{answers}/answers.parquet"
    assert waves.read_bytes(path) == at_once.read_bytes(path)
    assert len(pq.read_table(tmp_path / "waves" / path)) == 21
