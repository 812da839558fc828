"""A doubtful picture goes the way of all others, but never to the public: real stages on a small root."""

import io
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from annotate.caption import CaptionSettings, caption_stage
from filter.cut import CutSettings
from filter.safety import SafetyJudge, SafetySettings, safety_stage
from filter.score import ScoreSettings, score_stage
from moodarchive.running.stage import Stage, run_part
from moodarchive.settings import SettingScope
from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import CAPTIONS, IMAGES, ITEMS, SAFETY, SCHEMA_VERSION, SCORES, SELECTION
from moodarchive.tables.sql import connect
from pipelines.change.reseal import finish
from pipelines.change.verbs import prune, take_down
from pipelines.demo.bundled import CLIP
from pipelines.inspect.report.write import write_report
from pipelines.inspect.status import show_status
from tests.annotate.described_part import GOOD, ReceivedRequest, serving
from tests.making import Row, rows_of, write_rows
from tests.whole_root import Pictured, add_round
from validate.contents import PublishingRule, part_problems
from validate.verify import verify

pytestmark = pytest.mark.skipif(find_spec("open_clip") is None, reason="the extra clip is not installed")

CLASSIFIED, NUDE, GORY, UNSAFE, SILENT = 10, 12, 16, 18, 20
"""Pictures by number: what the classifier doubts, what the captioner answers yes to, and where it answers neither."""
PRIVATE_SOURCE = {5, 23}
DOUBTFUL = {CLASSIFIED, NUDE, GORY}
CUT = CutSettings(percentile=0, heldout=0.1, validation=0.1)


def _pixels(image: Image.Image) -> bytes:
    return image.convert("RGB").tobytes()


def _number(jpeg: bytes) -> int:
    return _NUMBERS[_pixels(Image.open(io.BytesIO(jpeg)))]


_NUMBERS = {_pixels(Image.open(io.BytesIO(Pictured(number).jpeg))): number for number in range(24) if number != 8}


@dataclass(frozen=True)
class _Classifier:
    """Gives each picture the probability that its number stands for."""

    def load(self) -> None:
        pass

    def unsafe(self, pictures: Sequence[Image.Image]) -> list[float]:
        known = {CLASSIFIED: 0.3, UNSAFE: 0.9}
        return [known.get(_NUMBERS[_pixels(picture)], 0.01) for picture in pictures]


def _answer(request: ReceivedRequest) -> str:
    number = _number(request.jpeg)
    flags = {} if number == SILENT else {"nudity": "no", "gore": "no"}
    return json.dumps({**GOOD, **flags, **{NUDE: {"nudity": "yes"}, GORY: {"gore": "yes"}}.get(number, {})})


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed root of 24 pictures; only read."""
    store = Store(str(tmp_path_factory.mktemp("doubtful") / "root"))
    whole_table = {"cut": CUT.of_kind(SettingScope.WHOLE_TABLE), "shards": {"private_sources": ["closed"]}}
    record = {"schema_version": SCHEMA_VERSION, "per_row": {}, "whole_table": whole_table}
    store.write_bytes("settings.json", json.dumps(record).encode())
    add_round(store, range(24))
    safety = SafetySettings()
    with serving() as server:
        server.reply = _answer
        _run(safety_stage(safety), store, SafetyJudge(safety.threshold, safety.doubtful_from, (_Classifier(),)))
        _run(caption_stage(CaptionSettings(servers=(server.url,))), store)
        _run(score_stage(ScoreSettings(model=CLIP, pretrained="", batch=8)), store)
        assert not {_number(request.jpeg) for request in server.requests} & {UNSAFE}
    assert finish(store)
    return Path(store.root)


def _run(stage: Stage, store: Store, worker: SafetyJudge | None = None) -> None:
    running = worker or stage.make_worker()
    for part in finished_parts(store, ITEMS):
        run_part(stage, store, running, part)


@pytest.fixture
def archive(built: Path, tmp_path: Path) -> Store:
    """A copy that a test may change."""
    shutil.copytree(built, tmp_path / "root")
    return Store(str(tmp_path / "root"))


def _rows(store: Store, name: str) -> dict[str, Row]:
    table = {table.name: table for table in (IMAGES, SAFETY, CAPTIONS, SCORES, SELECTION)}[name]
    return {row["key"]: row for part in finished_parts(store, table) for row in rows_of(store, table, part)}


def _packed(store: Store, *sets: str) -> set[str]:
    with connect(store) as connection:
        for name in sets:
            for path in store.files(f"shards/{name}"):
                if path.endswith(".parquet"):
                    connection.execute("CREATE TABLE IF NOT EXISTS packed (key VARCHAR)")
                    connection.execute("INSERT INTO packed SELECT key FROM read_parquet(?)", [store.path(path)])
        return {key for (key,) in connection.execute("SELECT key FROM packed").fetchall()}


def _keys(numbers: set[int]) -> set[str]:
    return {Pictured(number).key for number in numbers}


def _take_down(store: Store, number: int) -> None:
    path = Path(store.root).parent / "list.txt"
    path.write_text(Pictured(number).key)
    take_down(store, str(path), lambda _: None)


def test_doubtful_pictures_are_scored_captioned_and_kept_in_private_shards_only(archive: Store) -> None:
    captions, scores, selection = (_rows(archive, name) for name in ("captions", "scores", "selection"))
    for key in _keys(DOUBTFUL):
        assert (captions[key]["status"], scores[key]["status"], selection[key]["kept"]) == ("ok", "ok", True)
    assert {key for key, row in selection.items() if row["kept"] and row["verdict"] == "doubtful"} == _keys(DOUBTFUL)
    assert {row["verdict"] for key, row in _rows(archive, "safety").items() if key in _keys({NUDE, GORY})} == {"safe"}
    assert captions[Pictured(CLASSIFIED).key]["nudity"] is captions[Pictured(CLASSIFIED).key]["gore"] is False
    assert captions[Pictured(SILENT).key]["nudity"] is None and selection[Pictured(SILENT).key]["verdict"] == "safe"
    assert selection[Pictured(UNSAFE).key]["reason"] == "unsafe"
    assert _packed(archive, "private") == _keys(DOUBTFUL | PRIVATE_SOURCE)
    assert not _packed(archive, "train", "validation", "heldout") & _keys(DOUBTFUL)
    assert list(verify(archive)) == []


def test_a_doubtful_picture_in_a_public_shard_is_a_problem(archive: Store) -> None:
    public = sorted(_packed(archive, "train"))[0]
    (part,) = [
        n for n in finished_parts(archive, ITEMS) if public in {row["key"] for row in rows_of(archive, ITEMS, n)}
    ]
    sealed = frozenset(archive.files("shards"))
    assert list(part_problems(archive, part, sealed, PublishingRule())) == []
    for table in (SAFETY, SELECTION):
        rows = rows_of(archive, table, part)
        write_rows(
            archive, table, part, [row | {"verdict": "doubtful"} if row["key"] == public else row for row in rows]
        )
        said = [(public, "in train, but its picture is doubtful and belongs into private")]
        assert list(part_problems(archive, part, sealed, PublishingRule())) == said
        write_rows(archive, table, part, rows)


PERMITTED = PublishingRule(permitted_sources=frozenset({"mine"}))


@pytest.mark.parametrize(
    ("stated", "rule", "reason"),
    [
        ({"licence": "by-nc 4.0", "licence_url": None}, PublishingRule(), r"its licence \(by-nc 4.0\)"),
        ({"licence": None, "licence_url": None}, PublishingRule(), r"its licence \(none stated\)"),
        ({"licence": None, "licence_url": None}, PERMITTED, ""),
        (
            {"licence": "by-nd 4.0", "licence_url": None},
            PublishingRule(permitted_sources=frozenset({"mine"})),
            "licence",
        ),
        ({}, PublishingRule(private_sources=frozenset({"mine"})), "its source mine is private"),
    ],
)
def test_a_picture_that_may_not_be_passed_on_is_a_problem_in_a_public_shard(
    archive: Store, stated: dict[str, Any], rule: PublishingRule, reason: str
) -> None:
    public = sorted(_packed(archive, "train"))[0]
    (part,) = [
        n for n in finished_parts(archive, ITEMS) if public in {row["key"] for row in rows_of(archive, ITEMS, n)}
    ]
    rows = rows_of(archive, ITEMS, part)
    changed = [row | {"source": "mine"} | stated if row["key"] == public else row for row in rows]
    write_rows(archive, ITEMS, part, changed)
    problems = list(part_problems(archive, part, frozenset(archive.files("shards")), rule))
    write_rows(archive, ITEMS, part, rows)
    if not reason:
        assert problems == []
        return
    ((where, what),) = problems
    assert where == public and re.search(f"in train, but .*{reason}.* belongs into private", what), what


def test_a_takedown_reaches_a_doubtful_picture_and_what_was_said_of_it(archive: Store) -> None:
    key = Pictured(NUDE).key
    assert _rows(archive, "captions")[key]["nudity"] is True
    _take_down(archive, NUDE)
    caption, kept = _rows(archive, "captions")[key], _rows(archive, "selection")[key]
    assert (caption["status"], caption["nudity"], caption["gore"]) == ("taken_down", None, None)
    assert (kept["reason"], kept["verdict"]) == ("taken_down", None)
    assert _packed(archive, "private") == _keys((DOUBTFUL | PRIVATE_SOURCE) - {NUDE})
    assert list(verify(archive)) == []


def test_doubtful_pictures_stay_private_when_pictures_are_pruned_and_shards_are_made_from_shards(
    archive: Store,
) -> None:
    before = {path: archive.sha256(path) for path in archive.files("shards/private") if path.endswith(".tar")}
    prune(archive, lambda _: None)
    assert all(row["bytes"] is None for row in _rows(archive, "images").values())
    assert {path: archive.sha256(path) for path in before} == before
    _take_down(archive, GORY)
    assert _packed(archive, "private") == _keys((DOUBTFUL | PRIVATE_SOURCE) - {GORY})
    assert list(verify(archive)) == []


def test_status_and_report_count_doubtful_pictures_by_their_own_name(archive: Store) -> None:
    console = Console(file=io.StringIO(), width=100)
    show_status(archive, console)
    lines = [line.split() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    safety, selection = (next(line for line in lines if line[:1] == [name]) for name in ("safety", "selection"))
    assert (safety[3], safety[4], selection[4]) == ("1", "1", "3")
    assert ["safety", "unsafe", "1"] in lines and not any(line[1:2] == ["doubtful"] for line in lines)
    counts = json.loads(archive.read_bytes("manifest.json"))["counts"]
    assert (counts["safety"]["failures"], counts["safety"]["doubtful"]) == ({"unsafe": 1}, 1)
    assert counts["selection"]["doubtful"] == 3 and "doubtful" not in counts["selection"]["failures"]
    assert "doubtful" not in archive.read_bytes("README.md").decode().partition("dropped, by reason")[2].splitlines()[0]
    page = archive.read_bytes(write_report(archive)).decode()
    assert '<li data-doubtful="3"><b>3</b> of the private are doubtful' in page
    assert not [key for key in _keys(DOUBTFUL) if f'data-key="{key}"' in page]
