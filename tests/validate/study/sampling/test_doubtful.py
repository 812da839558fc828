"""Doubtful pictures are first in line for one's own annotators, and reach no stranger unless that is asked for."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from moodarchive.storage.store import Store
from moodarchive.tables.schemas import ITEMS, SAFETY, SELECTION
from pipelines.study import serving
from pipelines.study.channels import ExportOptions, export
from pipelines.study.serving import ServeOptions, serve_study
from pipelines.study.steps import questionnaire
from shards.pack import ShardSettings
from shards.seal import seal, unseal
from tests.making import Fate, pack_parts, rows_of, write_rows
from tests.validate.study.archives import study_archive
from tests.validate.study.browsing import served
from validate.study.design.items import Item, read_items
from validate.study.design.study import CAPTIONS, StudyDesign
from validate.study.page.caption_questions import CaptionQuestions
from validate.study.page.ledger import Ledger
from validate.study.page.serve import ledger_path
from validate.study.sampling.sample import SampleOptions, sample

OPTIONS = SampleOptions(n=24, heldout=3, workers=2, gold=0.1, seed=7)
CLASSIFIED, DESCRIBED, HELDOUT, CLOSED = (1, 2, 3), (5,), (10,), 7
"""By number: what the classifier doubts, what the captioner doubts, a held-out one, and one of a private source."""

TERMS = ShardSettings(private_sources=("c",))


def _key(number: int) -> str:
    return str(Fate(number=number).rows()["items"]["key"])


DOUBTFUL = {_key(number) for number in (*CLASSIFIED, *DESCRIBED, *HELDOUT)}


@pytest.fixture
def archive(store: Store) -> Store:
    """48 images, six of them doubtful, one of those of a source that is private."""
    study_archive(store, images=48)
    unseal(store)
    for table, numbers, change in (
        (SAFETY, (*CLASSIFIED, *HELDOUT, CLOSED), {"verdict": "doubtful"}),
        (SELECTION, DESCRIBED, {"verdict": "doubtful"}),
        (ITEMS, (CLOSED,), {"source": "c"}),
    ):
        keys = {_key(number) for number in numbers}
        for part in (0, 1):
            rows = [row | change if row["key"] in keys else row for row in rows_of(store, table, part)]
            write_rows(store, table, part, rows)
    pack_parts(store, (0, 1), TERMS)
    assert seal(store)
    return store


def _draw(store: Store, options: SampleOptions) -> StudyDesign:
    return sample(store, options, is_withheld=TERMS.keeps_private)


def _asked(store: Store) -> dict[str, Item]:
    return {item.item: item for item in read_items(store) if not item.gold}


def test_without_being_asked_for_they_are_left_out_and_counted_by_their_name(archive: Store) -> None:
    design = _draw(archive, OPTIONS)
    assert design.left_out == {"doubtful": 5, "in a private shard": 1, "licence allows no adaptation": 2}
    assert not DOUBTFUL & {item.key for item in read_items(archive)}


def test_they_are_a_stratum_of_their_own_beside_the_archives_and_the_heldout(archive: Store) -> None:
    design = _draw(archive, replace(OPTIONS, doubtful=4))
    assert design.left_out == {"licence allows no adaptation": 2, "in a private shard": 1}
    doubtful = [item for item in _asked(archive).values() if item.is_doubtful]
    assert len(doubtful) == 4 and {item.key for item in doubtful} < DOUBTFUL
    assert {(item.stratum, item.population, item.sampled) for item in doubtful} == {("doubtful", 5, 4)}
    others = [item for item in _asked(archive).values() if not item.is_doubtful]
    assert not {item.key for item in others} & DOUBTFUL
    assert sum(item.stratum != "heldout" for item in others) == OPTIONS.n
    assert round(sum(1 / item.inclusion for item in _asked(archive).values())) == 48 - 3
    assert not [item for item in read_items(archive) if item.gold and (item.is_doubtful or item.key in DOUBTFUL)]

    before = read_items(archive)
    _draw(archive, replace(OPTIONS, doubtful=5))
    assert {item.key for item in _asked(archive).values() if item.is_doubtful} == DOUBTFUL
    assert {item.item for item in before} < {item.item for item in read_items(archive)}
    _draw(archive, OPTIONS)
    assert {item.key for item in _asked(archive).values() if item.is_doubtful} == DOUBTFUL, "what was asked stays"


def test_ones_own_annotators_meet_them_first(archive: Store) -> None:
    _draw(archive, replace(OPTIONS, doubtful=5))
    with served(Path(archive.root), annotators=1) as running:
        link = running.links["annotator-1"]
        requests.post(f"{link}/trained", json={}, timeout=10)
        met = []
        for _ in range(7):
            item = requests.get(f"{link}/next", timeout=10).json()["asked"]["item"]
            picture = requests.get(f"{link}/picture/{item}", timeout=10)
            assert picture.status_code == 200 and picture.content[:2] == b"\xff\xd8"
            body = {"item": item, "choice": "neither", "accurate": [True] * 5, "reason": "other", "comment": ""}
            assert requests.post(f"{link}/answer", json=body, timeout=10).status_code == 200
            met.append(item)
    assert set(met[:5]) == DOUBTFUL and not set(met[5:]) & DOUBTFUL


@pytest.mark.parametrize("with_doubtful", [False, True])
def test_a_vendor_gets_them_only_when_asked(archive: Store, with_doubtful: bool) -> None:
    _draw(archive, replace(OPTIONS, doubtful=5))
    options = ExportOptions(pictures_url="https://pictures.test/", with_doubtful=with_doubtful)
    for vendor in ("mturk", "label-studio"):
        list(export(archive, vendor, options))
    sent = {path.rpartition("/")[2].removesuffix(".jpg") for path in archive.files("study") if path.endswith(".jpg")}
    rows = list(csv.DictReader(io.StringIO(archive.read_bytes("study/captions/mturk/input.csv").decode())))
    tasks = json.loads(archive.read_bytes("study/captions/label-studio/tasks.json"))
    named = {row["item"] for row in rows} | {task["data"]["item"] for task in tasks}
    assert sent == named and len(sent) > 20
    assert sent & DOUBTFUL == (DOUBTFUL if with_doubtful else set())


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (ServeOptions(annotators=2), True),
        (ServeOptions(guests=5), False),
        (ServeOptions(guests=5, annotators=2), False),
        (ServeOptions(panel="panel.toml"), False),
        (ServeOptions(guests=5, with_doubtful=True), True),
        (ServeOptions(panel="panel.toml", with_doubtful=True), True),
    ],
    ids=str,
)
def test_strangers_are_shown_them_only_when_asked(
    archive: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: ServeOptions, shown: bool
) -> None:
    _draw(archive, replace(OPTIONS, doubtful=5))
    monkeypatch.chdir(tmp_path)
    Path("panel.toml").write_text('completion_code = "C0DE"\n')
    assert _serve(archive, monkeypatch, options) is shown


@pytest.mark.parametrize(("name", "shown"), [("annotator-7", True), ("guest-1", False), ("participant-ab12", False)])
def test_a_strangers_link_of_earlier_days_keeps_them_out(
    archive: Store, monkeypatch: pytest.MonkeyPatch, name: str, shown: bool
) -> None:
    _draw(archive, replace(OPTIONS, doubtful=5))
    known = Ledger(ledger_path(archive, CAPTIONS))
    known.invite([name])
    known.close()
    assert _serve(archive, monkeypatch, ServeOptions(annotators=2)) is shown


def _serve(store: Store, monkeypatch: pytest.MonkeyPatch, options: ServeOptions) -> bool:
    """Whether doubtful pictures are among what would be asked and served; the user is told where they are not."""
    asked: list[CaptionQuestions] = []
    said: list[str] = []

    def stand_in(questions: CaptionQuestions, ledger: Path, names: Sequence[str], **_: object) -> None:
        asked.append(questions)

    monkeypatch.setattr(serving, "serve", stand_in)
    serve_study(store, CAPTIONS, options, said.append)
    (questions,) = asked
    shown = set(questions.queue()) >= DOUBTFUL
    for key in DOUBTFUL:
        if shown:
            assert questions.read_picture(key)
        else:
            assert key not in questions.queue()
            with pytest.raises(KeyError):
                questions.read_picture(key)
    assert bool(said) is not shown and all("--with-doubtful" in line for line in said)
    return shown


def test_the_questions_are_without_them_unless_they_are_asked_for(archive: Store) -> None:
    _draw(archive, replace(OPTIONS, doubtful=5))
    assert not DOUBTFUL & set(questionnaire(archive, CAPTIONS).queue())
    queue = questionnaire(archive, CAPTIONS, with_doubtful=True).queue()
    assert set(queue[:5]) == DOUBTFUL
