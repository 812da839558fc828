"""Kept rows become tars that every reader reads, whose bytes depend on the rows alone, with an index that is right."""

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

import pyarrow.parquet as pq

from moodarchive.running.stage import run_part
from moodarchive.storage.store import Store
from moodarchive.tables.parts import Sidecar, read_sidecar
from moodarchive.tables.schemas import CAPTIONS, SAFETY, SELECTION, SHARD_INDEX
from shards.pack import ShardSettings, pack_stage
from tests.making import Fate, Row, fates, opened, rows_of, sentences, write_fates, write_rows

CLOSED = ShardSettings(private_sources=("closed",))


def _pack(store: Store, part: int = 0, settings: ShardSettings = CLOSED) -> Sidecar:
    stage = pack_stage(settings)
    return run_part(stage, store, stage.make_worker(), part)


def _packed(store: Store, chosen: list[Fate] | None = None) -> list[Fate]:
    """Writes and packs part 0; returns its fates."""
    chosen = fates(0, 40) if chosen is None else chosen
    write_fates(store, 0, chosen)
    _pack(store)
    return chosen


def _keys(chosen: list[Fate], split: str | None = None) -> list[str]:
    """Keys of those that are kept, in order."""
    kept = [f for f in chosen if f.downloaded and f.reason is None and split in (None, f.split)]
    return sorted(str(fate.rows()["items"]["key"]) for fate in kept)


def _tar(store: Store, name: str = "train", part: int = 0) -> str:
    return store.path(f"shards/{name}/{part:05d}.tar")


def _index(store: Store, name: str = "train") -> list[Row]:
    rows: list[Row] = pq.read_table(store.path(f"shards/{name}/00000.parquet")).to_pylist()
    return rows


def _members(store: Store, name: str = "train") -> dict[str, bytes]:
    with tarfile.open(_tar(store, name)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def _bytes(store: Store) -> dict[str, bytes]:
    return {path: store.read_bytes(path) for path in store.files("shards") if not path.endswith(".json")}


def test_exactly_the_kept_rows_are_packed_each_in_its_set(store: Store) -> None:
    chosen = _packed(store)
    for split in ("train", "validation", "heldout"):
        assert [row["key"] for row in _index(store, split)] == _keys(chosen, split)
        assert list(_members(store, split)) == [
            f"{k}.{m}" for k in _keys(chosen, split) for m in ("jpg", "json", "txt")
        ]
    assert store.names("shards") == ["00000.json", "heldout", "train", "validation"]


def test_the_sidecar_counts_sets_and_digests_every_file(store: Store) -> None:
    chosen = _packed(store)
    sidecar = read_sidecar(store, SHARD_INDEX, 0)
    assert sidecar is not None
    counts = {split: len(_keys(chosen, split)) for split in ("heldout", "train", "validation")}
    assert sidecar.sets == counts
    assert sidecar.rows == sum(counts.values())
    assert sidecar.files == {path: store.sha256(path) for path in _bytes(store)}
    assert sidecar.bytes == sum(size for path, size in store.files("shards").items() if path.endswith(".tar"))


def test_two_roots_of_equal_tables_have_equal_bytes(store: Store, tmp_path: Path) -> None:
    other = Store(str(tmp_path / "other"))
    _packed(store)
    _packed(other)
    assert _bytes(store) == _bytes(other)
    assert len(_bytes(store)) == 6


def test_a_sample_tells_licence_creator_source_page_and_web_text(store: Store) -> None:
    chosen = _packed(store)
    number, key = next((f.number, f.rows()["items"]["key"]) for f in chosen if f.number == 0)
    told = json.loads(_members(store)[f"{key}.json"])
    expected = {
        "key": key, "licence": "by 2.0", "licence_url": "https://creativecommons.org/licenses/by/2.0/",
        "creator": "Creator 0", "creator_url": "http://stock.test/people/0", "source": "openverse", "source_id": "p0",
        "landing_url": "http://stock.test/pages/p0", "url": "http://stock.test/p0.jpg", "title": "Title 0",
        "alt_text": "meadow 0 “in sun”", "emotion": "joy", "context": "natural_scenery", "split": "train",
        "width": 96, "height": 72, "site_width": 1600, "site_height": 1200, "score": 0.25,
        "score_phrase": "sunlit meadow", "phash": f"{2**63:016x}", "emotions_seen": ["joy"], **sentences(number),
    }  # fmt: skip
    assert {name: told.get(name) for name in expected} == expected
    assert not {"status", "error", "bytes", "attempts"} & set(told)


def test_the_text_is_the_five_sentences_and_the_picture_is_the_archives(store: Store) -> None:
    chosen = _packed(store)
    members = _members(store)
    for fate in chosen:
        row = fate.rows()
        if row["items"]["key"] in _keys(chosen, "train"):
            said = row["captions"]
            text = " ".join([said["summary"], *said["stimuli"], said["assessment"]])
            assert members[f"{row['items']['key']}.txt"].decode() == text
            assert text.count(".") == 5
            assert members[f"{row['items']['key']}.jpg"] == row["images"]["bytes"]


def test_the_index_leads_to_the_right_bytes(store: Store) -> None:
    _packed(store)
    members = _members(store)
    end = 0
    with open(_tar(store), "rb") as file:
        for row in _index(store):
            assert row["offset"] == end, "samples lie one behind the other"
            end += row["size"]
            digests = b""
            for kind in ("jpg", "json", "txt"):
                file.seek(row[f"{kind}_offset"])
                content = file.read(row[f"{kind}_size"])
                assert content == members[f"{row['key']}.{kind}"]
                digests += hashlib.sha256(content).digest()
            assert hashlib.sha256(digests).hexdigest() == row["sha256"]
            file.seek(row["offset"])
            span = file.read(row["size"])
            with tarfile.open(fileobj=io.BytesIO(span)) as alone:
                assert alone.getnames() == [f"{row['key']}.{kind}" for kind in ("jpg", "json", "txt")]
        assert set(file.read()) == {0}
        assert file.tell() % tarfile.RECORDSIZE == 0


def test_the_tar_of_the_system_reads_a_shard_and_finds_nobody_in_it(store: Store) -> None:
    chosen = _packed(store)
    done = subprocess.run(["tar", "-tvf", _tar(store), "--utc"], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert done.stderr == ""
    assert len(lines) == 3 * len(_keys(chosen, "train"))
    assert all(line.startswith("-rw-r--r-- 0/0 ") and " 1970-01-01 00:00 " in line for line in lines)


def test_sources_that_must_stay_private_are_in_no_public_set(store: Store) -> None:
    chosen = [Fate(number=i, source="closed" if i % 2 else "openverse", split="heldout") for i in range(6)]
    _packed(store, chosen)
    assert store.names("shards") == ["00000.json", "heldout", "private"]
    private = [json.loads(data) for name, data in _members(store, "private").items() if name.endswith(".json")]
    public = [json.loads(data) for name, data in _members(store, "heldout").items() if name.endswith(".json")]
    assert {told["source"] for told in private} == {"closed"} and len(private) == 3
    assert {told["source"] for told in public} == {"openverse"} and len(public) == 3


def test_a_set_that_becomes_empty_leaves_no_file(store: Store) -> None:
    _packed(store, [Fate(number=1, split="validation"), Fate(number=2), Fate(number=3, source="closed")])
    assert store.names("shards") == ["00000.json", "private", "train", "validation"]
    write_fates(store, 0, [Fate(number=1), Fate(number=2), Fate(number=3)])
    assert _pack(store).sets == {"train": 3}
    assert list(store.files("shards")) == ["shards/00000.json", "shards/train/00000.parquet", "shards/train/00000.tar"]


def test_a_part_of_which_nothing_is_kept_is_done_and_has_no_shard(store: Store) -> None:
    _packed(store, [Fate(number=1, reason="repeat"), Fate(number=2, downloaded=False)])
    sidecar = read_sidecar(store, SHARD_INDEX, 0)
    assert sidecar is not None and (sidecar.rows, sidecar.sets, sidecar.files) == (0, {}, {})
    assert list(store.files("shards")) == ["shards/00000.json"]


def test_a_current_shard_is_left_alone_and_a_stale_one_packed_again(store: Store) -> None:
    _packed(store, [Fate(number=1), Fate(number=2, source="closed")])
    before = read_sidecar(store, SHARD_INDEX, 0)
    assert _pack(store) == before
    assert _pack(store, settings=ShardSettings()).sets == {"train": 2}


def test_pictures_of_the_shard_open(store: Store) -> None:
    _packed(store)
    assert {opened(data).size for name, data in _members(store).items() if name.endswith(".jpg")} == {(96, 72)}


def test_what_the_captioner_made_doubtful_is_packed_into_the_private_shards_only(store: Store) -> None:
    chosen = _packed(store)
    doubtful = _keys(chosen, "train")[0]
    for table, changes in ((CAPTIONS, {"nudity": True, "gore": False}), (SELECTION, {"verdict": "doubtful"})):
        rows = [{**row, **changes} if row["key"] == doubtful else row for row in rows_of(store, table, 0)]
        write_rows(store, table, 0, rows)
    _pack(store)
    assert [row["key"] for row in _index(store, "private")] == [doubtful]
    assert [row["key"] for row in _index(store, "train")] == _keys(chosen, "train")[1:]
    told = json.loads(_members(store, "private")[f"{doubtful}.json"])
    assert (told["nudity"], told["gore"]) == (True, False)


def test_doubtful_pictures_are_packed_into_the_private_shards_only(store: Store) -> None:
    chosen = _packed(store)
    doubtful = _keys(chosen, "train")[0]
    rows = [{**row, "verdict": "doubtful"} if row["key"] == doubtful else row for row in rows_of(store, SAFETY, 0)]
    write_rows(store, SAFETY, 0, rows)
    _pack(store)
    assert [row["key"] for row in _index(store, "private")] == [doubtful]
    assert [row["key"] for row in _index(store, "train")] == _keys(chosen, "train")[1:]
