"""The demo's archive: what a person finds after `moodarchive demo`."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests.pipelines.conftest import IMAGES
from tests.pipelines.running import archive_digest, intervals, moodarchive

pytestmark = pytest.mark.slow


def test_every_picture_is_found_and_accounted_for(demo_root: Path) -> None:
    manifest = json.loads((demo_root / "manifest.json").read_text())
    counts = manifest["counts"]
    assert counts["items"]["rows"] == IMAGES
    kept = sum(of_set["samples"] for of_set in manifest["sets"].values())
    assert kept + sum(counts["selection"]["failures"].values()) == IMAGES
    assert 0 < kept < IMAGES


def test_planted_faults_are_all_handled(demo_root: Path) -> None:
    planted = json.loads((demo_root / "report" / "extra.json").read_text())["planted"]
    assert len(planted) == 12
    assert all(line["planted"] > 0 for line in planted)
    assert [(line["kind"], line["planted"]) for line in planted] == [
        (line["kind"], line["handled"]) for line in planted
    ]


def test_summary_names_counts_and_report(demo_root: Path) -> None:
    output = (demo_root.parent / "output.txt").read_text()
    assert f"{IMAGES} pictures found" in output
    assert f"{demo_root}/report/index.html" in output.replace("\n", "")


def test_verify_finds_the_archive_whole(demo_root: Path) -> None:
    done = moodarchive("verify", str(demo_root))
    assert (done.returncode, done.stdout.strip()) == (0, f"{demo_root}: whole")


def test_stages_overlap(demo_root: Path) -> None:
    downloads, captions = intervals(demo_root, "images"), intervals(demo_root, "captions")
    overlapping = [
        (early, late)
        for early, (caption_start, caption_end) in captions.items()
        for late, (download_start, download_end) in downloads.items()
        if early != late and caption_start < download_end and download_start < caption_end
    ]
    assert overlapping, "no part was downloaded while another was captioned"


def test_second_run_changes_nothing(damaged_copy: Callable[[], Path]) -> None:
    root = damaged_copy()
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if "report" not in path.parts}
    done = moodarchive("demo", "--root", str(root), "--images", str(IMAGES), "--no-train")
    assert done.returncode == 0, done.stdout + done.stderr
    after = {path: path.stat().st_mtime_ns for path in root.rglob("*") if "report" not in path.parts}
    folders = {root, root / "crawl"}  # the heartbeat comes and goes
    assert {p: t for p, t in after.items() if p not in folders} == {p: t for p, t in before.items() if p not in folders}


@pytest.mark.torture  # test_interruptions.py compares two whole runs at every change
def test_same_seed_gives_the_same_bytes(demo_root: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    done = moodarchive("demo", "--root", str(again), "--images", str(IMAGES), "--no-train")
    assert done.returncode == 0, done.stdout + done.stderr
    assert archive_digest(again) == archive_digest(demo_root)


def test_webdataset_reads_the_shards(demo_root: Path) -> None:
    import webdataset

    urls = [str(path) for path in sorted((demo_root / "shards" / "train").glob("*.tar"))]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("pil"))
    assert samples
    for sample in samples:
        assert sample["__key__"] == sample["json"]["key"]
        assert sample["jpg"].size == (sample["json"]["width"], sample["json"]["height"])
        assert sample["json"]["licence"] and sample["json"]["creator"] and sample["json"]["landing_url"]
        assert sample["txt"].count(".") >= 5


def test_datasets_streams_the_shards(demo_root: Path) -> None:
    from datasets import load_dataset

    urls = [str(path) for path in sorted((demo_root / "shards" / "train").glob("*.tar"))]
    stream = load_dataset("webdataset", data_files={"train": urls}, split="train", streaming=True)
    sizes = json.loads((demo_root / "shards" / "train" / "sizes.json").read_text())
    assert sum(1 for _ in stream) == sum(sizes.values())


def test_duckdb_reads_the_tables(demo_root: Path) -> None:
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"SELECT count(*), count(*) FILTER (kept) FROM read_parquet('{demo_root}/selection/*.parquet') "
            f"JOIN read_parquet('{demo_root}/items/*.parquet') USING (key)"
        ).fetchone()
    assert rows is not None and rows[0] == IMAGES and 0 < rows[1] < IMAGES


def test_show_tells_an_image_s_history(demo_root: Path) -> None:
    with duckdb.connect() as connection:
        kept = connection.execute(f"SELECT min(key) FROM '{demo_root}/selection/*.parquet' WHERE kept").fetchone()
    assert kept is not None
    done = moodarchive("show", str(demo_root), kept[0])
    assert done.returncode == 0, done.stderr
    for word in ("licence:", "queries:", "sha256:", "verdict: safe", "summary:", "score:", "kept: True", ".tar"):
        assert word in done.stdout, word


def test_status_counts_the_tables(demo_root: Path) -> None:
    done = moodarchive("status", str(demo_root))
    assert done.returncode == 0
    assert "sealed" in done.stdout and "http_404" in done.stdout and "low_score" in done.stdout


@pytest.mark.skipif("MOODARCHIVE_PHOTOS" not in os.environ, reason="MOODARCHIVE_PHOTOS names no folder of photographs")
def test_a_folder_of_photographs_becomes_an_archive(tmp_path: Path) -> None:
    photos = Path(os.environ["MOODARCHIVE_PHOTOS"])
    root = tmp_path / "photos"
    done = moodarchive("demo", "--root", str(root), "--photos", str(photos))
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads((root / "manifest.json").read_text())["counts"]
    assert counts["items"]["rows"] == len(list(photos.glob("*.jpg")))
    assert "prove plumbing only" in (root / "report" / "index.html").read_text()
