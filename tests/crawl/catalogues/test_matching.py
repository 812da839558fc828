"""A match: what it refuses, and that its answers are the same wherever the root lies and whenever it was killed."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from crawl.catalogues import matching
from crawl.catalogues.answers import read_answer
from crawl.catalogues.catalogue import Catalogue
from crawl.catalogues.coverage import read_coverage
from crawl.catalogues.embeddings import match_embeddings
from crawl.catalogues.matching import _Match, match_catalogue
from crawl.catalogues.ranking import no_matches
from crawl.catalogues.settings import CatalogueSettings
from crawl.catalogues.words import Vocabulary
from crawl.source import Query
from moodarchive.errors import ConfigError
from moodarchive.running.parallel_map import in_threads
from moodarchive.storage.store import Store
from tests.crawl.catalogues.published import vectors, write_pd12m
from tests.object_store import BUCKET, ObjectStore, object_store  # noqa: F401  the fixture ``server``


def test_embeddings_of_another_width_are_refused_by_name_and_files_without_rows_need_none(tmp_path: Path) -> None:
    write_pd12m(tmp_path / "list" / "a.parquet", 6)
    write_pd12m(tmp_path / "list" / "b.parquet", 6, url=[None] * 6)
    (tmp_path / "e").mkdir()
    np.save(tmp_path / "e" / "a.npy", vectors(6, width=8))
    np.save(tmp_path / "e" / "b.npy", np.zeros((6, 1), np.float16))
    settings = CatalogueSettings(preset="pd12m", files=(str(tmp_path / "list"),), cosine_floor=-1)
    catalogue = Catalogue(name="c", settings=settings)
    match = _Match(
        store=Store(str(tmp_path / "root")), folder="f", catalogue=catalogue, queries=(),
        vocabulary=Vocabulary(("joy",)),
        segments=match_embeddings(catalogue.files, catalogue.preset, {}, [str(tmp_path / "e")]),
    )  # fmt: skip
    cutoffs = no_matches(1).find_cutoffs(10)
    with pytest.raises(ConfigError, match=r"a\.parquet: its embeddings have 8 numbers, those of the model 4; remedy"):
        match.match_meaning(vectors(1, width=4), cutoffs, 0)
    assert len(match.match_meaning(vectors(1, width=8), cutoffs, 0).row) == 6
    assert len(match.match_meaning(vectors(1, width=8), cutoffs, 1).row) == 0


def test_the_answers_are_the_same_on_an_object_store_and_below_a_quoted_name(
    tmp_path: Path, server: ObjectStore
) -> None:
    write_pd12m(tmp_path / "list" / "a.parquet", 6)
    write_pd12m(tmp_path / "list" / "b.parquet", 9)
    settings = CatalogueSettings(preset="pd12m", files=(str(tmp_path / "list"),), word_floor=0)
    catalogue = Catalogue(name="c", settings=settings)
    (caption,) = {row["caption"].split()[-1] for row in pq.read_table(tmp_path / "list" / "a.parquet").to_pylist()[:1]}
    query = Query(
        source="c", emotion="joy", context="object_classes", phrase=caption, results=9, release=catalogue.release
    )
    found = []
    for root in (str(tmp_path / "it's a root"), f"s3://{BUCKET}/matched"):
        store = Store(root)
        folder = match_catalogue(store, catalogue, [query], in_threads)
        found.append(list(read_answer(store, folder, query)))
    assert found[0] == found[1] and found[0]


def test_a_match_killed_before_its_answers_has_left_its_record_and_writes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pd12m(tmp_path / "list" / "a.parquet", 6)
    settings = CatalogueSettings(preset="pd12m", files=(str(tmp_path / "list"),))
    catalogue, store = Catalogue(name="c", settings=settings), Store(str(tmp_path / "root"))
    query = Query(
        source="c", emotion="joy", context="object_classes", phrase="joy", results=9, release=catalogue.release
    )

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(matching, "_write_answers", killed)
        with pytest.raises(KeyboardInterrupt):
            match_catalogue(store, catalogue, [query], in_threads)
    (before,) = read_coverage(store)
    match_catalogue(store, catalogue, [query], in_threads)
    assert read_coverage(store) == [before], "answers never stand without their record"
