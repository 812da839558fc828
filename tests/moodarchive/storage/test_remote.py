"""An archive's files on an object store: whole or not at all, created once, and every refusal says what to do."""

import hashlib
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from moodarchive.archive.writer_lock import only_writer
from moodarchive.errors import ConfigError, StorageError, StorageFullError
from moodarchive.storage.remote import UPLOAD_PIECE
from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts, read_part
from moodarchive.tables.schemas import CANDIDATES, SELECTION
from moodarchive.tables.sql import PART, connect, view
from tests.making import write_rows
from tests.object_store import BUCKET, SECRET, ObjectStore, object_store  # noqa: F401  the fixture ``server``

LARGE = UPLOAD_PIECE + 1_000_000


@pytest.fixture
def remote(server: ObjectStore, request: pytest.FixtureRequest) -> Iterator[Store]:
    """A root of its own in the bucket."""
    yield Store(f"s3://{BUCKET}/{request.node.name}")
    server.mend()
    server.slow_down(0)


def _uploads(store: Store) -> list[str]:
    page = store.fs.call_s3("list_multipart_uploads", Bucket=BUCKET, Prefix=store.path("").split("/", 1)[1])
    return [upload["Key"] for upload in page.get("Uploads", [])]


def test_what_is_written_is_read_back_with_its_digest(remote: Store) -> None:
    sha256 = remote.write_bytes("a/b/c.bin", b"content")
    assert remote.read_bytes("a/b/c.bin") == b"content"
    assert sha256 == remote.sha256("a/b/c.bin") == hashlib.sha256(b"content").hexdigest()
    assert remote.names() == ["a"] and remote.files() == {"a/b/c.bin": 7}
    assert remote.read_many(["a/b/c.bin", "a/none"]) == [b"content", None]
    remote.remove("a/b/c.bin")
    assert remote.files() == {} and remote.names("a") == []


def test_another_process_s_file_is_seen_at_once(remote: Store) -> None:
    other = Store(remote.root)
    assert remote.names("a") == [] and not remote.exists("a/1")
    other.write_bytes("a/1", b"")
    assert remote.names("a") == ["1"] and remote.exists("a/1")


@pytest.mark.parametrize("size", [1000, LARGE])
def test_a_draft_that_raises_leaves_nothing_not_even_an_unfinished_upload(remote: Store, size: int) -> None:
    with pytest.raises(RuntimeError, match="midway"), remote.draft("a.bin") as file:
        file.write(bytes(size))
        assert not remote.exists("a.bin")
        raise RuntimeError("midway")
    assert remote.files() == {} and _uploads(remote) == []


def test_a_large_file_appears_whole_at_its_end(remote: Store) -> None:
    with remote.draft("a.bin") as file:
        file.write(bytes(LARGE))
        assert len(_uploads(remote)) == 1 and remote.files() == {}
    assert remote.files() == {"a.bin": LARGE} and _uploads(remote) == []


@pytest.mark.parametrize(("sizes", "after"), [((1000,), 0), ((UPLOAD_PIECE, 1000), 0), ((UPLOAD_PIECE, 1000), 1)])
def test_an_upload_that_breaks_off_halfway_leaves_the_earlier_file(
    remote: Store, server: ObjectStore, sizes: tuple[int, ...], after: int
) -> None:
    remote.write_bytes("a.bin", b"earlier")
    server.break_uploads("a[.]bin", after=after)
    with pytest.raises(StorageError, match="run again"), remote.draft("a.bin") as file:
        for size in sizes:
            file.write(bytes(size))
    assert remote.read_bytes("a.bin") == b"earlier" and _uploads(remote) == []
    server.mend()
    remote.write_bytes("a.bin", b"later")
    assert remote.read_bytes("a.bin") == b"later"


def test_a_part_on_a_full_store_is_no_part_and_a_rerun_makes_it(remote: Store, server: ObjectStore) -> None:
    server.break_uploads("[.]parquet", refused=True)
    with pytest.raises(StorageFullError, match="free some space"):
        write_rows(remote, SELECTION, 0, [{"key": "0" * 16}])
    assert finished_parts(remote, SELECTION) == {}
    server.mend()
    write_rows(remote, SELECTION, 0, [{"key": "0" * 16}])
    assert [batch.num_rows for batch in read_part(remote, SELECTION, 0)] == [1]


def test_uploads_of_a_killed_writer_are_ended_and_no_others(remote: Store) -> None:
    neighbour = Store(f"{remote.root}-neighbour")
    for store in (remote, neighbour):
        key = store.path("a.bin").split("/", 1)[1]
        store.fs.call_s3("create_multipart_upload", Bucket=BUCKET, Key=key)
    remote.remove_drafts()
    assert [Path(key).parent.name for key in _uploads(remote)] == [Path(neighbour.root).name]
    neighbour.remove_drafts()
    assert _uploads(remote) == []


def _create(root: str, who: int) -> bool:
    return Store(root).create_exclusively("lock", str(who).encode())


def test_exactly_one_of_racing_creators_wins(remote: Store) -> None:
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        for _ in range(3):
            won = list(pool.map(_create, [remote.root] * 6, range(6)))
            assert won.count(True) == 1 and remote.read_bytes("lock") == str(won.index(True)).encode()
            remote.remove("lock")


def test_a_store_that_ignores_conditions_is_refused(remote: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = remote.fs.pipe_file
    monkeypatch.setattr(remote.fs, "pipe_file", lambda path, data, mode: plain(path, data))
    with pytest.raises(StorageError, match="ignores conditional writes"), only_writer(remote):
        raise AssertionError("this store lets two runs write at once")


def test_one_writer_holds_the_root(remote: Store) -> None:
    with only_writer(remote):
        assert remote.names("crawl") == ["writer.json"]
    assert remote.files() == {}


def test_tables_are_joined_where_they_lie_with_a_request_or_two_a_part(remote: Store, server: ObjectStore) -> None:
    parts = range(12)
    for part in parts:
        keys = [f"{part:08d}{place:08d}" for place in range(20)]
        write_rows(remote, SELECTION, part, [{"key": key, "kept": key[-1] != "0", "round": 0} for key in keys])
        write_rows(remote, CANDIDATES, part, [{"key": key, "title": "t'\"", "rank": part} for key in keys])
    server.requests()
    assert len(finished_parts(remote, SELECTION)) == len(parts)
    assert server.requests() == {"LIST": 1, "GET": len(parts)}
    with connect(remote) as connection:
        view(connection, remote, SELECTION, parts, f"key, kept, {PART}")
        view(connection, remote, CANDIDATES, parts)
        found = connection.execute(
            "SELECT part, count(*), max(rank), any_value(title) FROM selection JOIN candidates USING (key) WHERE kept "
            "GROUP BY part ORDER BY part"
        ).fetchall()
        assert found == [(part, 18, part, "t'\"") for part in parts]
        assert "filename" not in connection.execute("SELECT * FROM candidates").fetchdf().columns
    counted = server.requests()
    assert counted["LIST"] == 2 and counted["HEAD"] == 0 and counted["GET"] <= 4 * len(parts)


def test_a_view_without_parts_is_empty(remote: Store) -> None:
    with connect(remote) as connection:
        view(connection, remote, SELECTION, [], f"key, {PART}")
        assert connection.execute("SELECT count(*) FROM selection").fetchall() == [(0,)]


def _refusal(root: str) -> str:
    with pytest.raises((StorageError, ConfigError)) as caught:
        Store(root).check_reachable()
    assert SECRET not in str(caught.value) and "remedy" in str(caught.value)
    return str(caught.value)


def test_a_wrong_bucket_endpoint_or_key_says_what_to_do(server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from s3fs import S3FileSystem

    assert "no bucket 'other'" in _refusal("s3://other/root")
    Store(f"s3://{BUCKET}/empty-root").check_reachable()
    S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "AWS_ENDPOINT_URL" in _refusal(f"s3://{BUCKET}/root")
    S3FileSystem.clear_instance_cache()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert "AWS_ACCESS_KEY_ID" in _refusal(f"s3://{BUCKET}/root")
    S3FileSystem.clear_instance_cache()


def test_a_refused_key_says_what_to_do(remote: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(remote.fs, "cat_file", refuse)
    with pytest.raises(StorageError, match=r"Access Denied; remedy: check the credentials"):
        remote.read_bytes("a")


@pytest.mark.parametrize(
    ("root", "words"),
    [
        ("gs://bucket/root", "pip install gcsfs"),
        ("abfs://container/root", "pip install adlfs"),
        ("quux://bucket/root", "Protocol not known: quux"),
        (f"s3://key:{SECRET}@bucket/root", "holds credentials"),
    ],
)
def test_a_root_that_cannot_be_used_says_what_is_missing(root: str, words: str) -> None:
    assert words in _refusal(root)


def test_no_path_leads_out_of_the_root(remote: Store, store: Store) -> None:
    for some in (remote, store):
        with pytest.raises(StorageError, match="leads out"):
            some.read_bytes("a/../../other")


def test_a_relative_root_is_the_same_for_a_worker_that_stands_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pickle

    monkeypatch.chdir(tmp_path)
    Store("root").write_bytes("a", b"1")
    travelling = pickle.dumps(Store("root"))
    monkeypatch.chdir("/")
    assert pickle.loads(travelling).read_bytes("a") == b"1"  # noqa: S301
