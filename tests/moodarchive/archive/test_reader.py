"""What ``import moodarchive`` offers: archives are opened, tables and samples are read, and mistakes are named."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

import moodarchive
from moodarchive.errors import ConfigError, DamagedPartError, NotAnArchiveError, StorageError, UnknownKeyError
from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import CAPTIONS, ITEMS, SELECTION
from shards.seal import unseal
from tests.making import rows_of
from tests.object_store import BUCKET, ObjectStore, object_store  # noqa: F401  the fixture ``server``
from tests.whole_root import built_root

HOUSE = Path(__file__).parents[3]
SCRIPT = """
import moodarchive

archive = moodarchive.open(ROOT)
count: int = 0
for sample in archive.samples("train"):
    key: str = sample.key
    words: list[str] = sample.caption.split()
    size: tuple[int, int] = sample.image().size
    licence: str | None = sample.provenance.licence
    assert len(key) == 16 and len(words) > 5 and size == (80, 60) and licence == "by 2.0"
    count += 1
assert count == archive.sets["train"] == archive.manifest.sets["train"]["samples"]
try:
    archive.samples("nonsense")
except moodarchive.MoodArchiveError as error:
    print(error)
for batch in archive.table("captions").batches(["key"]):
    print(batch.num_rows)
print(moodarchive.__version__, archive.provenance(key).creator)
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Sealed; only read."""
    store = Store(str(tmp_path_factory.mktemp("read") / "root"))
    built_root(store)
    return store


def _kept(store: Store, split: str) -> list[str]:
    private = {row["key"] for part in finished_parts(store, ITEMS) for row in rows_of(store, ITEMS, part)
               if row["source"] == "closed"}  # fmt: skip
    rows = [row for part in finished_parts(store, SELECTION) for row in rows_of(store, SELECTION, part)]
    return [row["key"] for row in rows if row["kept"] and row["split"] == split and row["key"] not in private]


def test_a_script_that_only_imports_moodarchive_reads_an_archive_and_passes_mypy(whole: Store, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("ROOT", repr(whole.root)))
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "no shard set is called 'nonsense'; legal: train" in ran.stdout and "Ann  Müller" in ran.stdout
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--follow-imports", "silent",
            "--cache-dir", str(tmp_path / "cache"), str(script)]  # fmt: skip
    checked = subprocess.run(mypy, capture_output=True, text=True, check=False, cwd=HOUSE)
    assert checked.returncode == 0, checked.stdout
    script.write_text(script.read_text() + "\nnumber: int = sample.key\nmoodarchive.nonsense\narchive.samples(5)\n")
    checked = subprocess.run(mypy, capture_output=True, text=True, check=False, cwd=HOUSE)
    assert checked.stdout.count("error:") == 3, checked.stdout


@pytest.mark.parametrize("page", ["README.md", "docs/reading.md"])
def test_the_documented_example_runs_as_it_stands(whole: Store, tmp_path: Path, page: str) -> None:
    (example,) = re.findall(r"```python\n(import moodarchive\n.*?)```", (HOUSE / page).read_text(), re.DOTALL)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "demo").symlink_to(whole.root)
    ran = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode == 0 and "by 2.0" in ran.stdout, ran.stderr


def test_importing_it_loads_nothing_heavy_and_every_public_name_is_there() -> None:
    probe = (
        "import sys, moodarchive; heavy = {'pyarrow', 'duckdb', 'fsspec', 'PIL', 'torch'} & set(sys.modules); "
        "print(sorted(heavy)); print([n for n in moodarchive.__all__ if not getattr(moodarchive, n)])"
    )
    ran = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n[]\n"
    assert (HOUSE / "moodarchive" / "py.typed").exists()
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        moodarchive.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_the_samples_of_a_set_are_its_kept_images_in_the_order_of_the_shards(whole: Store) -> None:
    archive = moodarchive.open(whole.root)
    captions = {row["key"]: row for part in finished_parts(whole, CAPTIONS) for row in rows_of(whole, CAPTIONS, part)}
    for name in ("train", "heldout"):
        samples = list(archive.samples(name))
        assert [sample.key for sample in samples] == _kept(whole, name)
        assert len(samples) == archive.sets[name]
        for sample in samples:
            caption = captions[sample.key]
            assert sample.caption == " ".join((caption["summary"], *caption["stimuli"], caption["assessment"]))
            assert sample.set == name and sample.metadata["summary"] == caption["summary"]
            assert archive.sample(sample.key) == sample
            assert archive.provenance(sample.key) == sample.provenance


def test_tables_come_as_batches_as_one_and_by_sql(whole: Store) -> None:
    archive = moodarchive.open(whole.root)
    rows = [row for part in finished_parts(whole, SELECTION) for row in rows_of(whole, SELECTION, part)]
    table = archive.table("selection")
    assert table.to_arrow().to_pylist() == rows
    batches = list(table.batches(["reason", "key"], rows=5))
    assert max(batch.num_rows for batch in batches) == 5 and batches[0].schema.names == ["reason", "key"]
    assert [row for batch in batches for row in batch.to_pylist()] == [
        {"reason": row["reason"], "key": row["key"]} for row in rows
    ]
    with archive.connect() as connection:
        kept = connection.execute("SELECT count(*) FROM selection JOIN items USING (key) WHERE kept").fetchall()
    assert kept == [(sum(row["kept"] for row in rows),)]
    assert archive.table("human_verdicts").to_arrow().num_rows == 0


def test_an_archive_that_is_still_being_built_is_read_as_far_as_it_is(whole: Store, tmp_path: Path) -> None:
    store = Store(str(shutil.copytree(whole.root, tmp_path / "open")))
    sealed = moodarchive.open(store.root)
    assert sealed.is_sealed and sealed.manifest.seal == 0
    unseal(store)
    for path in store.files("shards"):
        store.remove(path)
    archive = moodarchive.open(store.root)
    assert not archive.is_sealed and archive.sets == {} and list(archive.samples()) == []
    assert archive.table("items").to_arrow(["key"]).num_rows == 48
    with pytest.raises(NotAnArchiveError, match=r"is not sealed.*remedy: moodarchive run"):
        archive.manifest  # noqa: B018


def test_an_archive_on_an_object_store_is_read_alike(server: ObjectStore, whole: Store) -> None:
    fsspec.filesystem("s3").put(f"{whole.root}/", f"{BUCKET}/read/", recursive=True)
    local, remote = moodarchive.open(whole.root), moodarchive.open(f"s3://{BUCKET}/read")
    assert list(remote.samples("heldout")) == list(local.samples("heldout")) != []
    assert remote.table("captions").to_arrow().equals(local.table("captions").to_arrow())
    key = next(local.samples()).key
    assert remote.provenance(key) == local.provenance(key)
    assert remote.manifest == local.manifest


def test_a_changed_sample_is_named_and_not_handed_out(whole: Store, tmp_path: Path) -> None:
    store = Store(str(shutil.copytree(whole.root, tmp_path / "damaged")))
    tar = Path(store.path("shards/train/00000.tar"))
    data = bytearray(tar.read_bytes())
    data[700] ^= 1
    tar.write_bytes(data)
    first = _kept(whole, "train")[0]
    with pytest.raises(
        DamagedPartError, match=f"{first} in shards/train/ is not what its index says; remedy: moodarch"
    ):
        list(moodarchive.open(store.root).samples())


def test_mistakes_are_named_with_what_is_legal(whole: Store, tmp_path: Path) -> None:
    archive = moodarchive.open(whole.root)
    with pytest.raises(ConfigError, match="no table is called 'kept'; legal: descriptors, candidates, items"):
        archive.table("kept")
    with pytest.raises(ConfigError, match="captions/ has no column sumary; it has: key, summary"):
        archive.table("captions").to_arrow(["key", "sumary"])
    with pytest.raises(UnknownKeyError, match=r"no shard of .* holds 'abc'; remedy: moodarchive show"):
        archive.sample("abc")
    with pytest.raises(UnknownKeyError, match="has met no image 'abc'; remedy"):
        archive.provenance("abc")
    with pytest.raises(NotAnArchiveError, match=r"holds no archive .*remedy"):
        moodarchive.open(str(tmp_path / "nowhere"))
    with pytest.raises((StorageError, ConfigError), match="remedy"):
        moodarchive.open("nonsense://somewhere")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "settings.json").write_text(json.dumps({"schema_version": 2}))
    with pytest.raises(NotAnArchiveError, match=f"schema version 2.*remedy: moodarchive migrate {tmp_path}/old"):
        moodarchive.open(str(tmp_path / "old"))


def test_a_picture_that_is_no_jpeg_is_named(whole: Store) -> None:
    sample = next(moodarchive.open(whole.root).samples())
    with pytest.raises(DamagedPartError, match=f"picture of {sample.key} cannot be decoded"):
        replace(sample, jpg=b"\x89PNG not a JPEG").image()
