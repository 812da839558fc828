"""One run over all eleven sources: each fills candidates, and the shards name whom to credit and under which terms."""

import io
import json
import tarfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from moodarchive.schemas import CANDIDATES
from moodarchive.store import Store
from pipelines.archive import Archive
from pipelines.demo.serving import started
from pipelines.progress import Progress
from pipelines.settings import ArchiveSettings
from tests.making import rows_of, serving
from tests.pipelines import every_source

pytestmark = pytest.mark.slow
PUBLIC = {"openverse", "stocksnap"}


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str]]]:
    """The finished root, and every host and path that was asked for, twice run."""
    folder = tmp_path_factory.mktemp("sources")
    with (
        pytest.MonkeyPatch.context() as patch,
        serving(every_source.handlers()) as site,
        started("pipelines.demo.caption_server", []) as captions,
    ):
        for name, value in every_source.KEYS.items():
            patch.setenv(name, value)
        checkpoint = str(files("pipelines.demo") / "checkpoint")
        values = every_source.settings(site.address, captions, checkpoint, every_source.write_lists(folder))
        store = Store(str(folder / "root"))
        for _ in range(2):
            archive = Archive(
                store, ArchiveSettings.model_validate(values), Progress(store, Console(file=io.StringIO()))
            )
            archive.run()
        yield folder / "root", [f"{request.headers['Host']}{request.path}" for request in site.requests]


def _samples(root: Path) -> dict[str, dict[str, Any]]:
    """Source and identifier → the sample's JSON, with the set it lies in."""
    found = {}
    for path in root.glob("shards/*/*.tar"):
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                if file is not None and member.name.endswith(".json"):
                    sample = json.load(file)
                    name = sample["source_id"]
                    if sample["source"] == "urls":  # named by a digest of the address
                        name = sample["url"].rsplit("/", 1)[-1].removesuffix(".jpg")
                    found[f"{sample['source']} {name}"] = {**sample, "set": path.parent.name}
    return found


def test_every_source_fills_candidates(crawled: tuple[Path, list[str]]) -> None:
    store = Store(str(crawled[0]))
    parts = sorted(int(path.stem) for path in crawled[0].glob("candidates/*.parquet"))
    found = [row["source"] for part in parts for row in rows_of(store, CANDIDATES, part)]
    counts = {source: found.count(source) for source in found}
    assert counts == {**dict.fromkeys((*every_source.NETWORKED, "unsplash_dataset"), 2), "urls": 4}


def test_shards_and_attribution_name_creator_licence_and_page(crawled: tuple[Path, list[str]]) -> None:
    root = crawled[0]
    samples, expected = _samples(root), every_source.expected()
    own = {name: sample for name, sample in samples.items() if sample["url"].startswith("folder:")}
    assert len(own) == 1 and samples.keys() - own.keys() == expected.keys()
    fields = ("landing_url", "creator", "licence", "licence_url")
    assert {name: tuple(samples[name][field] for field in fields) for name in expected} == expected
    rows = {row["key"]: row for row in pq.read_table(root / "ATTRIBUTION.parquet").to_pylist()}
    assert rows.keys() == {sample["key"] for sample in samples.values()}
    for sample in samples.values():
        assert all(rows[sample["key"]][field] == sample[field] for field in fields)


def test_what_may_not_be_passed_on_is_packed_apart(crawled: tuple[Path, list[str]]) -> None:
    for sample in _samples(crawled[0]).values():
        assert sample["set"] == ("train" if sample["source"] in PUBLIC else "private")


def test_a_second_run_asks_nobody_anything(crawled: tuple[Path, list[str]]) -> None:
    asked = [what for what in crawled[1] if not what.endswith("/robots.txt")]
    assert len(asked) == len(set(asked))


def test_unsplash_is_told_of_each_photo_that_is_used(crawled: tuple[Path, list[str]]) -> None:
    told = sorted(what for what in crawled[1] if what.endswith("/download"))
    assert told == ["unsplash.test/photos/u1/download", "unsplash.test/photos/u2/download"]


def test_no_key_is_left_anywhere(crawled: tuple[Path, list[str]]) -> None:
    for path in crawled[0].rglob("*"):
        assert path.is_dir() or not any(key.encode() in path.read_bytes() for key in every_source.KEYS.values())
