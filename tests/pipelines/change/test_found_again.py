"""An image found again under a better emotion moves to it, alone: in selection/, its shard and the history."""

import json
import tarfile
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from filter.cut import CutSettings
from moodarchive.emotions.taxonomy import EMOTIONS
from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import REDISCOVERED, SCORES, SELECTION
from pipelines.change.reseal import finish
from pipelines.change.verbs import prune, take_down
from pipelines.inspect.diff import show_diff
from pipelines.inspect.report.write import write_report
from pipelines.inspect.show import show_image
from tests.making import Row, rows_of
from tests.whole_root import Pictured, add_round, timeless_files
from validate.verify import verify

BETTER = ("love", "facial_expressions")
BEST = ("grief", "facial_expressions")
WORSE = ("anger", "facial_expressions")
NEW = range(100, 112)


def _kept(store: Store) -> dict[str, Row]:
    return {row["key"]: row for part in finished_parts(store, SELECTION) for row in rows_of(store, SELECTION, part)}


def _numbers(store: Store, reason: str | None) -> list[int]:
    """Pictures of the first round with this verdict."""
    kept = _kept(store)
    return [n for n in range(48) if n not in (7, 8) and kept[Pictured(n).key]["reason"] == reason]


def _grow(store: Store, found: dict[int, tuple[str, str]], numbers: Iterable[int] = NEW) -> None:
    add_round(store, [*numbers, *found], found)
    assert finish(store)


def samples_of(store: Store) -> dict[str, dict[str, Any]]:
    found = {}
    for path in (Path(store.root) / "shards").glob("*/*.tar"):
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                if file is not None and member.name.endswith(".json"):
                    found[member.name[:-5]] = json.load(file)
    return found


def _tars(store: Store) -> dict[str, bytes]:
    return {path: data for path, data in timeless_files(store).items() if path.endswith(".tar")}


def test_it_is_judged_told_and_packed_under_its_best_and_nothing_else_changes(archive: Store) -> None:
    better, worse = _numbers(archive, None)[:2]
    before, tars, samples = _kept(archive), _tars(archive), samples_of(archive)
    _grow(archive, {better: BETTER, worse: WORSE})
    after = _kept(archive)
    key = Pictured(better).key
    assert (after[key]["emotion"], after[key]["context"], after[key]["reason"]) == (*BETTER, None)
    assert {k for k in before if after[k] != before[k]} == {key}
    (row,) = [r for part in finished_parts(archive, SCORES) for r in rows_of(archive, SCORES, part) if r["key"] == key]
    place = EMOTIONS.index("love")
    sample = samples_of(archive)[key]
    told = {name: sample[name] for name in ("emotion", "context", "score", "score_phrase")}
    assert told == {
        "emotion": "love", "context": BETTER[1], "score": row["emotion_scores"][place],
        "score_phrase": row["emotion_phrases"][place],
    }  # fmt: skip
    assert {k: v for k, v in sample.items() if k not in told} == {
        k: v for k, v in samples[key].items() if k not in told
    }
    rewritten = [path for path, data in tars.items() if _tars(archive)[path] != data]
    assert len(rewritten) == 1
    assert list(verify(archive)) == []
    assert json.loads(archive.read_bytes("manifest.json"))["changes"]["samples_relabelled"] == {
        f"{before[key]['emotion']} to love": 1
    }
    said = StringIO()
    show_diff(archive, None, None, Console(file=said, width=500))
    assert f"1 shards rewritten: {rewritten[0]}" in said.getvalue()
    assert f"1 samples judged under a better emotion: 1 {before[key]['emotion']} to love" in said.getvalue()
    history = StringIO()
    show_image(archive, key, Console(file=history, width=500))
    assert "found again in round 1" in history.getvalue() and "phrase found by love" in history.getvalue()
    assert "searched as “found by love”" in archive.read_bytes(write_report(archive)).decode()


def test_worse_emotions_rewrite_no_shard(archive: Store) -> None:
    before, tars = _kept(archive), _tars(archive)
    _grow(archive, dict.fromkeys(_numbers(archive, None), WORSE))
    assert len(rows_of(archive, REDISCOVERED, 1)) > 10
    assert {key: _kept(archive)[key] for key in before} == before
    assert {path: data for path, data in _tars(archive).items() if path in tars} == tars


def test_what_fell_under_the_worse_emotion_comes_in_under_the_better(archive: Store) -> None:
    fallen = _numbers(archive, "low_score")
    before = _kept(archive)
    _grow(archive, {fallen[0]: BETTER, fallen[1]: WORSE})
    after = _kept(archive)
    assert after[Pictured(fallen[0]).key]["kept"] and after[Pictured(fallen[0]).key]["emotion"] == "love"
    assert {k for k in before if after[k] != before[k]} == {Pictured(fallen[0]).key}
    assert list(verify(archive)) == []


def test_after_a_prune_what_has_its_picture_moves_and_what_has_none_stays_cut(archive: Store) -> None:
    better, fallen = _numbers(archive, None)[0], _numbers(archive, "low_score")[0]
    before = _kept(archive)
    prune(archive, lambda _: None)
    _grow(archive, {better: BETTER, fallen: BETTER})
    after = _kept(archive)
    assert {k for k in before if after[k] != before[k]} == {Pictured(better).key}
    assert samples_of(archive)[Pictured(better).key]["emotion"] == "love"
    assert list(verify(archive)) == []
    files = timeless_files(archive)
    archive.remove("selection/00000.json")
    assert finish(archive)
    assert timeless_files(archive) == files, "the verdicts after a prune do not depend on when they are made"


def test_what_a_later_round_cut_after_a_prune_is_not_brought_back_by_a_further_one(archive: Store) -> None:
    prune(archive, lambda _: None)
    moved = _numbers(archive, None)[:12]
    _grow(archive, dict.fromkeys(moved, BETTER))
    fallen = [n for n in moved if _kept(archive)[Pictured(n).key]["reason"] == "low_score"]
    assert fallen, "two of twelve fall in the new cell"
    before = _kept(archive)
    _grow(archive, dict.fromkeys(moved, BEST), range(112, 124))
    after = _kept(archive)
    changed = {k for k in before if after[k] != before[k]}
    assert changed == {Pictured(n).key for n in moved if n not in fallen}
    assert list(verify(archive)) == []


def test_a_takedown_changes_no_other_verdict(archive: Store) -> None:
    moved = _numbers(archive, None)[:12]
    _grow(archive, dict.fromkeys(moved, BETTER))
    before = _kept(archive)
    gone = Pictured(moved[3]).key
    path = Path(archive.root).parent / "list.txt"
    path.write_text(gone)
    take_down(archive, str(path), lambda _: None)
    after = _kept(archive)
    assert {k for k in before if after[k] != before[k]} == {gone}
    assert after[gone]["reason"] == "taken_down" and after[gone]["emotion"] == before[gone]["emotion"]
    assert list(verify(archive)) == []


def test_rounds_as_one_judge_each_image_once_under_its_best(archive: Store) -> None:
    moved = _numbers(archive, None)[:12]
    _grow(archive, dict.fromkeys(moved, BETTER))
    settings = json.loads(archive.read_bytes("settings.json"))
    settings["whole_table"]["cut"]["rounds"] = "together"
    archive.write_bytes("settings.json", json.dumps(settings).encode())
    assert finish(archive)
    kept = _kept(archive)
    assert {kept[Pictured(n).key]["emotion"] for n in moved} == {"love"}
    rules = CutSettings.model_validate(settings["whole_table"]["cut"])
    of_love = [row for row in kept.values() if row["emotion"] == "love" and row["reason"] in (None, "low_score")]
    assert sum(row["reason"] == "low_score" for row in of_love) == int(len(of_love) * rules.percentile / 100)
    assert list(verify(archive)) == []
