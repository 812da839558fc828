"""A search by vectors that reads few of them finds what the product with all of them finds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import requests

import pipelines.demo
from crawl.catalogues.meaning import score_meaning
from moodarchive.errors import UsageError
from moodarchive.models.clip import ClipEncoder
from moodarchive.storage.store import Store
from moodarchive.tables.keys import image_key
from moodarchive.tables.schemas import IMAGES, SCHEMA_VERSION, VECTORS
from pipelines.browse.atlas import write_map
from pipelines.browse.serve import BrowseOptions
from pipelines.browse.vectors import VectorsIndex, write_vectors
from tests.axe import find_faults
from tests.making import opened, rows_of, write_rows
from tests.pipelines.browse.browsing import browsing
from tests.validate.study.archives import study_archive
from tests.validate.study.browsing import chromium

ROWS, WIDTH = 3_000, 192


def _vectors(kind: str) -> Any:
    random = np.random.default_rng(5)
    vectors = random.standard_normal((ROWS, WIDTH))
    if kind == "falling spectrum":
        vectors = vectors * np.arange(1, WIDTH + 1) ** -0.8 + 0.3
    if kind == "repeats":
        vectors[ROWS // 2 :] = vectors[: ROWS - ROWS // 2]
    if kind == "an outlier that no sample has":
        vectors[1 : ROWS - 1] *= np.arange(1, WIDTH + 1) ** -2.0
        vectors[-1] = np.eye(WIDTH)[WIDTH - 1]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


@pytest.mark.parametrize("kind", ["falling spectrum", "every direction", "repeats", "an outlier that no sample has"])
def test_the_best_rows_are_those_of_the_product_with_all(store: Store, tmp_path: Path, kind: str) -> None:
    vectors = _vectors(kind)
    keys = sorted(image_key("s", str(number)) for number in range(ROWS))
    rows: list[dict[str, Any]] = [
        {"key": key, "vector": None if number % 50 == 7 else vector}
        for number, (key, vector) in enumerate(zip(keys, vectors, strict=True))
    ]
    for part, first in enumerate(range(0, ROWS, 1_000)):
        write_rows(store, VECTORS, part, rows[first : first + 1_000])
    words = np.array([int(key, 16) for key in keys], np.uint64)
    write_vectors(store, tmp_path / "index", lambda wanted: np.searchsorted(words, wanted), lambda line: None)
    index = VectorsIndex(tmp_path / "index")
    has = np.array([row["vector"] is not None for row in rows])
    numbers = np.flatnonzero(has)
    allowed = np.arange(ROWS) % 3 != 1
    random = np.random.default_rng(6)
    for query in (vectors[4], vectors[-1], random.standard_normal(WIDTH)):
        for may, chosen in ((None, numbers), (allowed, numbers[allowed[numbers]])):
            want = score_meaning(np.asarray(query, np.float32)[None], [(chosen, vectors[chosen])], 40)
            found = index.search(np.asarray(query, np.float32), 40, may)
            assert [one.number for one in found] == want.row.tolist()
            assert [one.cosine for one in found] == want.score.tolist()
    assert index.vector_of(7) is None
    assert np.array_equal(index.vector_of(8), vectors[8].astype(np.float32))  # type: ignore[arg-type]
    index.close()


def _check_map(store: Store, folder: Path, jpegs: dict[str, bytes]) -> None:
    """The map holds each picture once, with a picture that opens and a place of its own."""
    lines: list[str] = []
    path = write_map(store, BrowseOptions(cache=str(folder / "cache")), str(folder / "map"), 999, lines.append)
    rows = pq.ParquetFile(path).read().to_pylist()
    assert sorted(row["key"] for row in rows) == sorted(jpegs) and "placed by" in lines[-1]
    assert max(opened(rows[0]["image"]["bytes"]).size) == 96 and rows[0]["emotion"]
    assert len({(row["projection_x"], row["projection_y"]) for row in rows}) == len(rows)
    with pytest.raises(UsageError, match="lies in the root"):
        write_map(store, BrowseOptions(), store.path("map"), 9, lines.append)


@pytest.mark.browser
def test_the_page_finds_pictures_like_one_of_the_archive_like_a_file_and_like_a_text(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    study_archive(store, images=24)
    model = f"local-dir:{Path(pipelines.demo.__file__).parent / 'checkpoint'}"
    record = {"schema_version": SCHEMA_VERSION, "per_row": {"score": {"model": model}}, "whole_table": {}}
    store.write_bytes("settings.json", json.dumps(record).encode())
    encoder, jpegs = ClipEncoder(model=model), {}
    encoder.texts(["loaded"])
    for part in (0, 1):
        rows = rows_of(store, IMAGES, part)
        vectors = encoder.embed_pixels([encoder.prepare_bytes(row["bytes"]) for row in rows])
        jpegs |= {row["key"]: row["bytes"] for row in rows}
        of_part = [
            {"key": row["key"], "vector": vector} for row, vector in zip(rows, vectors.astype("f2"), strict=True)
        ]
        write_rows(store, VECTORS, part, of_part)
    with browsing(store.root, tmp_path / "cache") as running:
        key, jpeg = sorted(jpegs.items())[5]
        kind = {"Content-Type": "image/jpeg"}
        answer = requests.post(f"{running.url}similar-picture", data=jpeg, headers=kind, timeout=60).json()["rows"]
        assert answer[0]["key"] == key and answer[0]["cosine"] > 0.99
        like = requests.get(f"{running.url}similar/{key}", timeout=60).json()["rows"]
        assert [row["key"] for row in like][:5] == [row["key"] for row in answer if row["key"] != key][:5]
        joyful = requests.get(f"{running.url}similar/{key}?emotion=joy", timeout=60).json()["rows"]
        assert joyful and [row["key"] for row in joyful] == [row["key"] for row in like if row["emotion"] == "joy"]
        said = requests.get(f"{running.url}similar-text?words=joy", timeout=60).json()["rows"]
        cosines = [row["cosine"] for row in said]
        assert len(said) == 24 and cosines == sorted(cosines, reverse=True)
        for body, headers in ((b"no picture", kind), (jpeg, {"Content-Type": "text/plain"})):
            refused = requests.post(f"{running.url}similar-picture", data=body, headers=headers, timeout=60)
            assert refused.status_code in (400, 415) and refused.json()["error"]
        _check_map(store, tmp_path, jpegs)
        with chromium() as browser:
            tab = browser.new_page()
            tab.set_default_timeout(10_000)
            tab.goto(running.url)
            tab.locator(f".tile[data-key='{key}']").click()
            tab.locator("#similar").click()
            tab.locator(".tile .says", has_text="cosine").first.wait_for()
            assert tab.locator(".tile").first.get_attribute("data-key") == like[0]["key"]
            assert not find_faults(tab)
            tab.locator("#more summary").click()
            (tmp_path / "mine.jpg").write_bytes(jpeg)
            tab.locator("#upload").set_input_files(str(tmp_path / "mine.jpg"))
            tab.locator(f".tile[data-index='0'][data-key='{key}']").wait_for()
            tab.close()
