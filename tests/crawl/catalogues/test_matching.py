"""A match by meaning refuses embeddings of another model, and passes over files of which no row may enter."""

from pathlib import Path

import numpy as np
import pytest

from crawl.catalogues.catalogue import Catalogue
from crawl.catalogues.embeddings import match_embeddings
from crawl.catalogues.matching import _Match
from crawl.catalogues.ranking import no_matches
from crawl.catalogues.settings import CatalogueSettings
from crawl.catalogues.words import Vocabulary
from moodarchive.errors import ConfigError
from moodarchive.storage.store import Store
from tests.crawl.catalogues.published import vectors, write_pd12m


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
