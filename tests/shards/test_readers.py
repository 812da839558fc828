"""The field's readers take the shards and tables as they are."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moodarchive.storage.store import Store
from pipelines.runner.cluster import Cluster
from tests.making import opened, sealed_archive

HOUSE = Path(__file__).parents[2]
OPEN_CLIP = os.environ.get("MOODARCHIVE_OPENCLIP_PYTHON", "")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(str(tmp_path_factory.mktemp("sealed") / "root"))
    sealed_archive(store)
    return store


def _tars(store: Store, name: str = "train") -> list[str]:
    return [store.path(path) for path in store.files(f"shards/{name}") if path.endswith(".tar")]


def _indexes(store: Store, name: str = "train") -> list[str]:
    return [tar.replace(".tar", ".parquet") for tar in _tars(store, name)]


def _keys(store: Store, name: str = "train") -> list[str]:
    """The keys of a set as the tables tell them, read with pandas."""
    import pandas

    kept = pandas.concat(pandas.read_parquet(store.path(f"selection/{part:05d}.parquet")) for part in (0, 1))
    return list(kept[kept["kept"] & (kept["split"] == name)]["key"])


def _texts(store: Store) -> list[str]:
    """The captions of train, as the table tells them."""
    import duckdb

    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT summary || ' ' || list_aggregate(stimuli, 'string_agg', ' ') || ' ' || assessment "
            f"FROM read_parquet('{store.path('captions')}/*.parquet') "
            f"JOIN read_parquet('{store.path('selection')}/*.parquet') USING (key) WHERE kept AND split = 'train'"
        ).fetchall()
    return [text for (text,) in rows]


def test_webdataset_reads_all_shards_of_a_set(sealed: Store) -> None:
    webdataset = pytest.importorskip("webdataset")
    shards = sealed.path("shards/train/{00000..00001}.tar")
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("pil"))
    assert [sample["__key__"] for sample in samples] == _keys(sealed)
    assert {sample["jpg"].size for sample in samples} == {(96, 72)}
    assert {sample["json"]["licence"] for sample in samples} == {"by 2.0"}
    assert sorted(sample["txt"] for sample in samples) == sorted(_texts(sealed))


def _stream(store: Store, cache: Path) -> Any:
    datasets: Any = pytest.importorskip("datasets")
    files = {"train": _tars(store)}
    return datasets.load_dataset(
        "webdataset", data_files=files, split="train", streaming=True, cache_dir=str(cache / "cache")
    )


def test_datasets_streams_a_set(sealed: Store, tmp_path: Path) -> None:
    samples = list(_stream(sealed, tmp_path))
    assert [sample["__key__"] for sample in samples] == _keys(sealed)
    assert samples[0]["jpg"].size == (96, 72)
    assert samples[0]["json"]["creator"].startswith("Creator")


@pytest.mark.parametrize("read_before", [1, 20, 30])
def test_datasets_goes_on_where_a_saved_stream_stood(sealed: Store, tmp_path: Path, read_before: int) -> None:
    keys, first = _keys(sealed), _stream(sealed, tmp_path)
    samples = iter(first)
    assert [next(samples)["__key__"] for _ in range(read_before)] == keys[:read_before]
    saved = json.loads(json.dumps(first.state_dict()))
    second = _stream(sealed, tmp_path)
    second.load_state_dict(saved)
    assert [sample["__key__"] for sample in second] == keys[read_before:]


@pytest.fixture
def ray_data() -> Iterator[Any]:
    with Cluster(cpus=2) as cluster:
        cluster.start([])
        import ray.data

        yield ray.data


def test_ray_data_reads_a_set(sealed: Store, ray_data: Any) -> None:
    pytest.importorskip("webdataset")
    samples = ray_data.read_webdataset(_tars(sealed), decoder=None).take_all()
    assert sorted(sample["__key__"] for sample in samples) == sorted(_keys(sealed))
    assert {opened(sample["jpg"]).size for sample in samples} == {(96, 72)}
    assert sorted(sample["txt"].decode() for sample in samples) == sorted(_texts(sealed))
    assert {json.loads(sample["json"])["licence"] for sample in samples} == {"by 2.0"}


@pytest.mark.skipif(not OPEN_CLIP, reason="MOODARCHIVE_OPENCLIP_PYTHON names no Python with open_clip's webdataset")
def test_open_clip_trains_on_a_set_and_evaluates_on_it(sealed: Store) -> None:
    count = len(_keys(sealed))
    script = HOUSE / "tests" / "shards" / "open_clip_reader.py"
    command = [OPEN_CLIP, str(script), sealed.path("shards/train/{00000..00001}.tar"), str(count)]
    environment = {**os.environ, "PYTHONPATH": str(HOUSE)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    trained, evaluated = json.loads(done.stdout.splitlines()[-1])
    for told in (trained, evaluated):
        assert sorted(told["texts"]) == sorted(_texts(sealed))
        assert told["sizes"] == [[96, 72]]
    assert trained["planned"] == count, "sizes.json tells a training run its length"


def test_an_index_leads_pandas_to_one_sample(sealed: Store) -> None:
    import pandas

    for tar, path in zip(_tars(sealed), _indexes(sealed), strict=True):
        index = pandas.read_parquet(path).set_index("key")
        row = index.iloc[len(index) // 2]
        with open(tar, "rb") as file:
            file.seek(row["jpg_offset"])
            assert opened(file.read(row["jpg_size"])).size == (96, 72)
            file.seek(row["json_offset"])
            assert json.loads(file.read(row["json_size"]))["key"] == row.name
