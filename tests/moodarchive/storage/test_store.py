"""A file exists whole or not at all; one of several racing creators wins; a full disk says what to do."""

import hashlib
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from moodarchive.errors import StorageFullError
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import DESCRIPTORS
from tests.making import write_rows


def test_what_is_written_is_read_back_with_its_digest(store: Store) -> None:
    sha256 = store.write_bytes("a/b/c.bin", b"content")
    assert store.read_bytes("a/b/c.bin") == b"content"
    assert sha256 == store.sha256("a/b/c.bin") == hashlib.sha256(b"content").hexdigest()


def test_a_draft_that_raises_leaves_nothing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="midway"), store.draft("a/b.bin") as file:
        file.write(b"half")
        raise RuntimeError("midway")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_draft_that_raises_leaves_the_earlier_file(store: Store) -> None:
    store.write_bytes("a.bin", b"earlier")
    with pytest.raises(RuntimeError), store.draft("a.bin") as file:
        file.write(b"half")
        raise RuntimeError
    assert store.read_bytes("a.bin") == b"earlier"
    assert store.files() == {"a.bin": 7}


def test_nobody_sees_a_draft_before_its_end(store: Store) -> None:
    with store.draft("a/b.bin") as file:
        file.write(b"x" * 100)
        assert not store.exists("a/b.bin")
        assert store.names("a") == []
        assert store.files() == {}
    assert store.names("a") == ["b.bin"]
    assert store.files() == {"a/b.bin": 100}


def test_listings_are_sorted_relative_and_without_leftover_drafts(store: Store, tmp_path: Path) -> None:
    for path in ("b/2.json", "b/1.json", "a.json"):
        store.write_bytes(path, b"{}")
    (tmp_path / "root" / "b" / "3.json.host.1.1.draft").write_bytes(b"of a killed writer")
    assert list(store.files()) == ["a.json", "b/1.json", "b/2.json"]
    assert list(store.files("b")) == ["b/1.json", "b/2.json"]
    assert store.names("b") == ["1.json", "2.json"]
    assert store.names() == ["a.json", "b"]
    assert store.names("absent") == []
    assert store.files("absent") == {}


def _create(store: Store, who: int) -> bool:
    return store.create_exclusively("lock", str(who).encode() * 1000)


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_exactly_one_of_racing_creators_wins(store: Store, kind: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    with ThreadPoolExecutor(8) if kind == "threads" else ProcessPoolExecutor(4, mp_context=spawn) as pool:
        for _ in range(20):
            won = list(pool.map(_create, [store] * 8, range(8)))
            assert sorted(won) == [False] * 7 + [True]
            assert store.read_bytes("lock") == str(won.index(True)).encode() * 1000
            assert store.names() == ["lock"]
            store.remove("lock")


def test_a_store_travels_to_workers(store: Store) -> None:
    store.write_bytes("a", b"1")
    assert pickle.loads(pickle.dumps(store)).read_bytes("a") == b"1"  # noqa: S301


def test_an_object_store_creates_once_too() -> None:
    store = Store("memory://once")
    assert store.create_exclusively("lock", b"first")
    assert not store.create_exclusively("lock", b"second")
    assert store.read_bytes("lock") == b"first"
    store.remove("lock")


def _says_what_to_do(error: StorageFullError, store: Store) -> bool:
    return store.root in str(error) and "free some space" in str(error)


def test_a_full_disk_names_the_root_and_the_remedy_and_leaves_nothing(tiny_disk: Store) -> None:
    with pytest.raises(StorageFullError) as caught:
        tiny_disk.write_bytes("a/big.bin", bytes(200_000))
    assert _says_what_to_do(caught.value, tiny_disk)
    assert [path for path in Path(tiny_disk.root).rglob("*") if path.is_file()] == []
    tiny_disk.write_bytes("a/small.bin", b"room again")


def test_a_part_on_a_full_disk_is_no_part(tiny_disk: Store) -> None:
    phrases = [{"emotion": "joy", "phrase": hashlib.sha512(str(i).encode()).hexdigest()} for i in range(3000)]
    with pytest.raises(StorageFullError) as caught:
        write_rows(tiny_disk, DESCRIPTORS, 0, phrases)
    assert _says_what_to_do(caught.value, tiny_disk)
    assert [path for path in Path(tiny_disk.root).rglob("*") if path.is_file()] == []


def test_a_lock_on_a_full_disk_says_so_too(tiny_disk: Store) -> None:
    with pytest.raises(StorageFullError) as caught:
        tiny_disk.create_exclusively("lock", bytes(200_000))
    assert _says_what_to_do(caught.value, tiny_disk)
    assert [path for path in Path(tiny_disk.root).rglob("*") if path.is_file()] == []


def test_a_large_draft_of_an_object_store_is_a_draft_like_others() -> None:
    remote = Store("memory://large")
    with remote.large_draft("a/b") as file:
        file.write(b"one")
        file.write(memoryview(b"two"))
    assert remote.read_bytes("a/b") == b"onetwo"
    assert (file.bytes_written, file.sha256) == (6, hashlib.sha256(b"onetwo").hexdigest())
