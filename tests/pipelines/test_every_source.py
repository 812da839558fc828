"""One run over all eleven sources: each fills candidates, and the shards name whom to credit and under which terms.

A second round adds what is new, and leaves every byte of the first alone.
"""

import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from moodarchive.storage.store import Store
from moodarchive.tables.keys import image_key
from moodarchive.tables.schemas import CANDIDATES, ITEMS, REDISCOVERED
from pipelines.archive import ArchiveRun
from pipelines.demo.serving import run_server
from pipelines.runner.progress import Progress
from pipelines.settings import ArchiveSettings
from tests.making import Site, rows_of, serving
from tests.pipelines import every_source

pytestmark = pytest.mark.slow
PUBLIC = {"openverse", "stocksnap"}


@dataclass(frozen=True)
class Crawled:
    """A finished root, what its settings were, and every host and path that was asked for."""

    root: Path
    values: dict[str, Any]
    site: Site
    asked: list[str]


def _run(root: Path, values: dict[str, Any]) -> None:
    store = Store(str(root))
    ArchiveRun(store, ArchiveSettings.model_validate(values), Progress(store, Console(file=io.StringIO()))).run()


def _asked(site: Site) -> list[str]:
    return [f"{request.headers['Host']}{request.path_qs}" for request in site.requests]


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawled]:
    """One round, run twice."""
    folder = tmp_path_factory.mktemp("sources")
    with (
        pytest.MonkeyPatch.context() as patch,
        serving(every_source.handlers()) as site,
        run_server("pipelines.demo.captioner.server", []) as captions,
    ):
        for name, value in every_source.KEYS.items():
            patch.setenv(name, value)
        checkpoint = str(files("pipelines.demo") / "checkpoint")
        values = every_source.settings(site.address, captions, checkpoint, every_source.write_lists(folder))
        for _ in range(2):
            _run(folder / "root", values)
        yield Crawled(folder / "root", values, site, _asked(site))


@pytest.fixture(scope="module")
def grown(crawled: Crawled, tmp_path_factory: pytest.TempPathFactory) -> Crawled:
    """A copy of the root with a second round, and what that round asked for."""
    root = Path(shutil.copytree(crawled.root, tmp_path_factory.mktemp("grown") / "root"))
    before = len(crawled.site.requests)
    values = {**crawled.values, "descriptors": {**crawled.values["descriptors"], "phrases_per_cell": 2}}
    _run(root, values)
    return Crawled(root, values, crawled.site, _asked(crawled.site)[before:])


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


def test_every_source_fills_candidates(crawled: Crawled) -> None:
    store = Store(str(crawled.root))
    parts = sorted(int(path.stem) for path in crawled.root.glob("candidates/*.parquet"))
    found = [row["source"] for part in parts for row in rows_of(store, CANDIDATES, part)]
    counts = {source: found.count(source) for source in found}
    assert counts == {**dict.fromkeys((*every_source.NETWORKED, "unsplash_dataset"), 2), "urls": 4}


def test_shards_and_attribution_name_creator_licence_and_page(crawled: Crawled) -> None:
    root = crawled.root
    samples, expected = _samples(root), every_source.expected()
    own = {name: sample for name, sample in samples.items() if sample["url"].startswith("folder:")}
    assert len(own) == 1 and samples.keys() - own.keys() == expected.keys()
    fields = ("landing_url", "creator", "licence", "licence_url")
    assert {name: tuple(samples[name][field] for field in fields) for name in expected} == expected
    rows = {row["key"]: row for row in pq.read_table(root / "ATTRIBUTION.parquet").to_pylist()}
    assert rows.keys() == {sample["key"] for sample in samples.values()}
    for sample in samples.values():
        assert all(rows[sample["key"]][field] == sample[field] for field in fields)


def test_what_may_not_be_passed_on_is_packed_apart(crawled: Crawled) -> None:
    for sample in _samples(crawled.root).values():
        assert sample["set"] == ("train" if sample["source"] in PUBLIC else "private")


def test_a_second_run_asks_nobody_anything(crawled: Crawled) -> None:
    asked = [what for what in crawled.asked if not what.endswith("/robots.txt")]
    assert len(asked) == len(set(asked))


def test_unsplash_is_told_of_each_photo_that_is_used(crawled: Crawled) -> None:
    told = sorted(what for what in crawled.asked if what.endswith("/download"))
    assert told == ["unsplash.test/photos/u1/download", "unsplash.test/photos/u2/download"]


def test_no_key_is_left_anywhere(crawled: Crawled) -> None:
    for path in crawled.root.rglob("*"):
        assert path.is_dir() or not any(key.encode() in path.read_bytes() for key in every_source.KEYS.values())


def test_a_second_round_adds_only_new_images_and_leaves_every_earlier_part_alone(
    crawled: Crawled, grown: Crawled
) -> None:
    store = Store(str(grown.root))
    (new,) = rows_of(store, ITEMS, 1)
    assert (new["source"], new["source_id"], new["round"]) == ("openverse", "o3", 1)
    kinds = (".parquet", ".tar")
    earlier = {path.relative_to(crawled.root) for path in crawled.root.rglob("*") if path.suffix in kinds}
    tables = {path for path in earlier if len(path.parts) > 1 and path.parts[0] != "seals"}
    assert len({path.parts[0] for path in tables}) >= 10
    for path in tables:
        assert (grown.root / path).read_bytes() == (crawled.root / path).read_bytes(), path
    assert _samples(grown.root).keys() - _samples(crawled.root).keys() == {"openverse o3"}


def test_queries_of_the_second_round_for_known_images_are_that_rounds(crawled: Crawled, grown: Crawled) -> None:
    rows = {row["key"]: row for row in rows_of(Store(str(grown.root)), REDISCOVERED, 1)}
    assert image_key("openverse", "o2") in rows and image_key("pexels", "1") in rows
    assert image_key("openverse", "o1") not in rows and image_key("openverse", "o3") not in rows
    phrases = {query["phrase"] for row in rows.values() for query in row["queries"]}
    assert phrases == {every_source.LATER_PHRASE} and {row["round"] for row in rows.values()} == {1}


def test_the_second_round_asks_nothing_that_the_first_one_asked(crawled: Crawled, grown: Crawled) -> None:
    asked = [what for what in grown.asked if not what.endswith("/robots.txt")]
    assert asked and not set(asked) & set(crawled.asked)
    assert [what for what in asked if "/pic/" in what] == ["cdn.test/pic/openverse3.jpg"]
