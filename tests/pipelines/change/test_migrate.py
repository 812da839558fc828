"""A root of version 2 becomes what this version would have written, and every command says so until then."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import fsspec
import pytest
from typer.testing import CliRunner

from moodarchive.errors import MoodArchiveError, NotAnArchiveError, NotWholeError
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import CAPTIONS, SCHEMA_VERSION
from pipelines.change.migrate import migrate
from pipelines.change.reseal import finish
from pipelines.change.verbs import prune, take_down
from pipelines.commands.app import app
from shards.seal import unseal
from tests.making import rows_of
from tests.object_store import BUCKET, ObjectStore, object_store  # noqa: F401  the fixture ``server``
from tests.version_2 import write_version_2
from tests.whole_root import Pictured, add_round, timeless_files
from validate.verify import verify

HOUSE = Path(__file__).parents[3]
SEED = {"captions": ("seed",)}


def _migrate(store: Store) -> list[str]:
    said: list[str] = []
    migrate(store, said.append)
    return said


def _change(store: Store) -> None:
    """A takedown, a prune, and a round that finds known images again: every kind of record stands in the root."""
    names = Path(f"{store.root}.txt")
    names.write_text(f"{Pictured(7).url}\n")
    take_down(store, str(names), lambda _: None)
    prune(store, lambda _: None)
    add_round(store, [100, 101, 0, 4], dict.fromkeys((0, 4), ("love", "facial_expressions")))
    assert finish(store)


@pytest.mark.parametrize("changed", [False, True], ids=["one round", "after takedown, prune and a second round"])
def test_a_migrated_root_is_byte_by_byte_what_this_version_writes(archive: Store, changed: bool) -> None:
    if changed:
        _change(archive)
    expected = timeless_files(archive)
    write_version_2(archive)
    assert {"dealt", "kept"} <= set(archive.names()) and not {"items", "selection"} & set(archive.names())
    assert _migrate(archive) == [f"{archive.root} has schema version {SCHEMA_VERSION} now: sealed"]
    assert timeless_files(archive) == expected
    assert not set(archive.names()) & {"dealt", "requeried", "kept", "verdicts", "migration.json"}
    assert list(verify(archive)) == []


@pytest.mark.parametrize("changed", [False, True], ids=["one round", "after takedown, prune and a second round"])
def test_columns_that_came_since_are_null_and_nothing_is_judged_or_packed_anew(archive: Store, changed: bool) -> None:
    if changed:
        _change(archive)
    write_version_2(archive, lacking={**SEED, "images": ("original_type",), "candidates": ("mature",)})
    before = {path: archive.sha256(path) for path in archive.files("shards") if path.endswith((".tar", ".parquet"))}
    _migrate(archive)
    assert list(verify(archive)) == []
    rows = rows_of(archive, CAPTIONS, 0)
    assert rows[0].keys() == set(CAPTIONS.schema.names)
    assert any(row["summary"] for row in rows) and not any(row["seed"] for row in rows)
    manifest = archive.read_bytes("manifest.json")
    assert finish(archive)
    assert archive.read_bytes("manifest.json") == manifest
    assert {path: archive.sha256(path) for path in before} == before


def test_an_object_store_ends_as_a_disk_does(server: ObjectStore, archive: Store) -> None:
    write_version_2(archive, lacking=SEED)
    remote = Store(f"s3://{BUCKET}/migrated")
    fsspec.filesystem("s3").put(f"{archive.root}/", f"{BUCKET}/migrated/", recursive=True)
    _migrate(archive)
    _migrate(remote)
    assert list(verify(remote)) == []
    assert timeless_files(remote) == timeless_files(archive)


class _Ended(BaseException):
    """As if the process had ended here."""


@pytest.mark.parametrize("times", [1, pytest.param(8, marks=pytest.mark.torture)])
def test_a_migration_that_ends_anywhere_on_an_object_store_goes_on(
    server: ObjectStore, archive: Store, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    write_version_2(archive, lacking=SEED)
    remote = Store(f"s3://{BUCKET}/ended")
    fs, done, end_at = remote.fs, 0, 0

    def counted(operation: Callable[..., object]) -> Callable[..., object]:
        def operate(*arguments: object, **options: object) -> object:
            nonlocal done
            if "writer.json" not in str(arguments[0]):  # the heartbeat is the lock's
                done += 1
                if done == end_at:
                    raise _Ended
            return operation(*arguments, **options)

        return operate

    for name in ("cp_file", "rm_file"):
        monkeypatch.setattr(fs, name, counted(getattr(fs, name)))
    opened = fs.open
    writing = counted(opened)
    monkeypatch.setattr(fs, "open", lambda path, mode="rb", **options: (writing if "w" in mode else opened)(
        path, mode, **options))  # fmt: skip
    random = Random(0)
    expected: dict[str, bytes] = {}
    for moment in (0, *(random.randint(1, 90) for _ in range(times))):
        for path in remote.files():
            remote.remove(path)
        fs.put(f"{archive.root}/", f"{BUCKET}/ended/", recursive=True)
        done, end_at = 0, moment
        if moment:
            with pytest.raises(_Ended):
                _migrate(remote)
            assert remote.exists("migration.json") or moment == 1
        _migrate(remote)
        expected = expected or timeless_files(remote)
        assert timeless_files(remote) == expected, moment
    assert list(verify(remote)) == []


def test_migrating_again_changes_nothing(archive: Store) -> None:
    write_version_2(archive)
    _migrate(archive)
    before = {path: archive.read_bytes(path) for path in archive.files()}
    assert _migrate(archive) == [f"{archive.root} has schema version {SCHEMA_VERSION} already; nothing to do"]
    assert {path: archive.read_bytes(path) for path in archive.files()} == before


def test_a_root_that_was_not_sealed_is_not_sealed_by_it(archive: Store) -> None:
    sealed = timeless_files(archive)
    unseal(archive)
    write_version_2(archive)
    (said,) = _migrate(archive)
    assert "not sealed, as before; moodarchive run goes on" in said
    assert not archive.exists("manifest.json")
    assert finish(archive)
    tables = {path: data for path, data in sealed.items() if path.split("/")[0] in ("selection", "items", "shards")}
    assert tables.items() <= timeless_files(archive).items()


def test_verdicts_that_were_out_of_date_stay_out_of_date(archive: Store) -> None:
    unseal(archive)
    write_version_2(archive)
    for path in Path(archive.path("kept")).glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"inputs": {"tables": "of another day"}}))
    _migrate(archive)
    assert json.loads(archive.read_bytes("selection/00000.json"))["inputs"] == {"tables": "of another day"}


def test_damage_of_before_is_still_found_afterwards(archive: Store) -> None:
    write_version_2(archive)
    tar = Path(archive.path("shards/train/00000.tar"))
    data = bytearray(tar.read_bytes())
    data[700] ^= 1
    tar.write_bytes(data)
    _migrate(archive)
    assert "shards/train/00000.tar" in {problem.where for problem in verify(archive, fast=True)}


@pytest.mark.parametrize(
    "path", ["settings.json", "rounds/0000.json", "images/00000.json", "README.md", "manifest.json"]
)
def test_a_sealed_root_whose_records_were_changed_is_refused_as_it_is(archive: Store, path: str) -> None:
    write_version_2(archive)
    text = archive.read_bytes(path)
    archive.write_bytes(path, text.replace(b'"', b"'", 2) if path == "manifest.json" else text[:-1] + b" \n")
    if path == "images/00000.json":
        archive.write_bytes(path, text.replace(b'"rows":', b'"rows":1'))
    before = {name: archive.read_bytes(name) for name in archive.files()}
    with pytest.raises(NotWholeError, match=f"{path} .*nothing was changed; remedy: restore the file"):
        _migrate(archive)
    assert {name: archive.read_bytes(name) for name in archive.files()} == before


@pytest.mark.parametrize(("version", "remedy"), [(1, "build the archive anew"), (9, "the version of moodarchive")])
def test_another_version_is_refused_with_what_to_do(archive: Store, version: int, remedy: str) -> None:
    record = json.loads(archive.read_bytes("settings.json")) | {"schema_version": version}
    archive.write_bytes("settings.json", json.dumps(record).encode())
    before = timeless_files(archive)
    with pytest.raises(NotAnArchiveError, match=f"schema version {version}, this program reads 3; remedy: .*{remedy}"):
        _migrate(archive)
    assert timeless_files(archive) == before


COMMANDS = {
    "status": ("status", "{root}"),
    "show": ("show", "{root}", "0" * 16),
    "verify": ("verify", "{root}"),
    "takedown": ("takedown", "{root}", "{list}"),
    "prune": ("prune", "{root}"),
    "diff": ("diff", "{root}"),
    "report": ("report", "{root}"),
    "caption-sample": ("caption-sample", "{root}", "--prompts", "five_sentences"),
    "run": ("run", "{config}", "--root", "{root}"),
    "study": ("study", "sample", "{root}"),
    "study report": ("study", "report", "{root}"),
    "train": ("train", "{train}", "--root", "{root}"),
}


@pytest.mark.parametrize("interrupted", [False, True], ids=["version 2", "interrupted"])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_every_command_refuses_the_root_and_names_the_remedy(
    archive: Store, command: tuple[str, ...], interrupted: bool
) -> None:
    write_version_2(archive)
    if interrupted:
        archive.write_bytes("migration.json", b'{"sealed": true, "digests": {}}')
    folder = Path(archive.root).parent
    names = {name: str(folder / f"{name}.txt") for name in ("list", "config", "train")} | {"root": archive.root}
    (folder / "list.txt").write_text(f"{Pictured(7).url}\n")
    (folder / "config.txt").write_text("")
    shutil.copy(HOUSE / "configs/train/vit-b-16.toml", folder / "train.txt")
    before = {name: archive.read_bytes(name) for name in archive.files()}
    ended = CliRunner().invoke(app, [word.format(**names) for word in command])
    assert isinstance(ended.exception, MoodArchiveError), (ended.output, ended.exception)
    assert f"remedy: moodarchive migrate {archive.root}" in str(ended.exception)
    assert {name: archive.read_bytes(name) for name in archive.files()} == before
