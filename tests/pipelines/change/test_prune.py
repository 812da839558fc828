"""Once sealed, images/ can give up its pictures; everything that comes after still works, from the shards."""

import json
from pathlib import Path

import pytest

from moodarchive.archive.pruned import read_pruned
from moodarchive.errors import NotAnArchiveError, NotWholeError, PrunedPictureError
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import IMAGES, ITEMS, SELECTION
from pipelines.change.reseal import finish
from pipelines.change.verbs import prune, take_down
from pipelines.inspect.report.write import write_report
from shards.seal import unseal
from tests.making import rows_of
from tests.whole_root import Pictured, add_round, timeless_files
from validate.verify import verify


def _prune(store: Store) -> str:
    said: list[str] = []
    prune(store, said.append)
    return " ".join(said)


def _take_down(store: Store, *lines: str) -> None:
    path = Path(store.root).parent / "list.txt"
    path.write_text("\n".join(lines))
    take_down(store, str(path), lambda _: None)


def _recut(store: Store, **changes: object) -> None:
    settings = json.loads(store.read_bytes("settings.json"))
    settings["whole_table"]["cut"].update(changes)
    store.write_bytes("settings.json", (json.dumps(settings, indent=1, sort_keys=True) + "\n").encode())


def _tars(store: Store) -> dict[str, bytes]:
    return {path: data for path, data in timeless_files(store).items() if path.endswith(".tar")}


def test_pictures_go_and_all_that_is_known_of_them_stays(archive: Store) -> None:
    before, shards = rows_of(archive, IMAGES, 1), _tars(archive)
    assert "images/ went from" in _prune(archive)
    after = rows_of(archive, IMAGES, 1)
    assert [{**row, "bytes": None} for row in before] == after
    assert any(row["bytes"] for row in before)
    assert _tars(archive) == shards
    assert list(verify(archive)) == []
    assert list(verify(archive, fast=True)) == []
    manifest = json.loads(archive.read_bytes("manifest.json"))
    assert sorted(manifest["pruned"]) == [f"images/{part:05d}.parquet" for part in range(4)]
    assert manifest["changes"]["shards_rewritten"] == 0 and manifest["seal"] == 1


def test_pruning_again_touches_no_file(archive: Store) -> None:
    _prune(archive)
    before = {path: archive.fs.info(archive.path(path))["mtime"] for path in archive.files()}
    assert "nothing to prune" in _prune(archive)
    assert {path: archive.fs.info(archive.path(path))["mtime"] for path in archive.files()} == before


def test_nothing_is_dropped_unless_sealed_and_sound(archive: Store) -> None:
    path = "shards/train/00000.tar"
    whole = archive.read_bytes(path)
    archive.write_bytes(path, whole[:-1] + b"x")
    before = timeless_files(archive)
    with pytest.raises(NotWholeError, match=r"nothing was dropped: shards/train/00000\.tar.*remedy"):
        _prune(archive)
    assert timeless_files(archive) == before
    archive.write_bytes(path, whole)
    unseal(archive)
    with pytest.raises(NotAnArchiveError, match="is not sealed"):
        _prune(archive)


def test_a_later_round_goes_on_and_only_its_pictures_are_pruned_next(archive: Store) -> None:
    _prune(archive)
    pruned = dict(read_pruned(archive).files)
    add_round(archive, range(100, 124))
    assert finish(archive)
    assert list(verify(archive)) == []
    _prune(archive)
    assert list(verify(archive)) == []
    files = read_pruned(archive).files
    assert len(files) == 6 and {path: files[path] for path in pruned} == pruned


def test_a_takedown_after_a_prune_leaves_the_other_samples_their_bytes(archive: Store, tmp_path: Path) -> None:
    gone = Pictured(10)
    _take_down(archive, gone.key)
    expected = _tars(archive)
    other = Store(str(tmp_path / "other"))
    archive.fs.mv(archive.root, other.root, recursive=True)
    from tests.whole_root import built_root

    built_root(archive)
    _prune(archive)
    _take_down(archive, gone.key)
    assert _tars(archive) == expected
    assert list(verify(archive)) == []
    assert not [path for path in archive.files() if gone.jpeg in archive.read_bytes(path)]
    assert not [name for name in archive.names("shards") if name.endswith(".stash")]


def test_a_stricter_cut_after_a_prune_packs_from_the_shards(archive: Store) -> None:
    _recut(archive, percentile=40.0)
    assert finish(archive)
    expected = _tars(archive)
    _recut(archive, percentile=20.0)
    assert finish(archive)
    _prune(archive)
    _recut(archive, percentile=40.0)
    assert finish(archive)
    assert _tars(archive) == expected
    assert list(verify(archive)) == []


def test_samples_that_change_sets_after_a_prune_are_not_lost(archive: Store) -> None:
    _prune(archive)
    _recut(archive, heldout=0.3, validation=0.3)
    assert finish(archive)
    assert list(verify(archive)) == []
    assert json.loads(archive.read_bytes("manifest.json"))["changes"]["samples_moved"]


def test_a_kept_image_whose_picture_is_gone_is_refused_with_the_ways_out(archive: Store) -> None:
    _prune(archive)
    _recut(archive, percentile=0.0)
    with pytest.raises(
        PrunedPictureError, match=r"images of part 0000\d are kept now.*remedy: set the cut's settings back"
    ):
        finish(archive)
    _recut(archive, percentile=20.0)
    assert finish(archive)
    assert list(verify(archive)) == []


def test_a_part_that_is_brought_back_is_no_longer_pruned(archive: Store) -> None:
    path = "images/00001.parquet"
    whole = archive.read_bytes(path)
    _prune(archive)
    archive.write_bytes(path, whole)
    assert [problem.where for problem in verify(archive)] == [path]
    assert finish(archive)
    assert list(verify(archive)) == []
    assert path not in read_pruned(archive).files
    assert "images/ went from" in _prune(archive)
    assert list(verify(archive)) == []


def test_the_report_shows_pruned_pictures_from_the_shards(archive: Store) -> None:
    def shown() -> int:
        return archive.read_bytes(write_report(archive)).decode().split('id="cut"')[0].count("data:image/jpeg")

    before = shown()
    _prune(archive)
    assert shown() == before > 10


def test_verdicts_know_pruned_rows_as_before(archive: Store) -> None:
    kept = [rows_of(archive, SELECTION, part) for part in range(4)]
    _prune(archive)
    _recut(archive, percentile=21.0)
    finish(archive)
    assert [[row["key"] for row in rows_of(archive, ITEMS, part)] for part in range(4)] == [
        [row["key"] for row in rows] for rows in kept
    ]
    assert [row["split"] for part in range(4) for row in rows_of(archive, SELECTION, part)] == [
        row["split"] for rows in kept for row in rows
    ]
