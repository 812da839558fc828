"""Marks become what they say: a takedown as by any list, verdicts as of a study with one annotator."""

import shutil
from pathlib import Path

import pytest

from moodarchive.errors import UsageError
from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import HUMAN_VERDICTS
from pipelines.browse.applying import apply_verdicts, write_takedown_list
from pipelines.browse.marks import Mark, MarksFile, forget, marks_path, read_marks
from pipelines.change.verbs import take_down
from tests.making import rows_of
from tests.validate.study.archives import study_archive
from tests.whole_root import built_root, timeless_files
from validate.study.answers.table import Answer, write_answers
from validate.study.design.items import read_items
from validate.study.design.questions import GENERATED, NEITHER, Judgement
from validate.study.design.study import CAPTIONS
from validate.study.sampling.sample import SampleOptions, sample
from validate.study.statistics.study import load_study
from validate.study.statistics.verdict import judge
from validate.study.verdicts.table import read_verdicts, write_verdicts


def _marked(store: Store, marks: dict[str, tuple[str, str]]) -> dict[str, Mark]:
    file = MarksFile(marks_path(store))
    for key, (mark, reason) in marks.items():
        file.add(Mark(key=key, mark=mark, reason=reason))
    file.close()
    return read_marks(marks_path(store))


def test_a_takedown_from_browse_equals_one_by_a_list_of_ones_own(store: Store, tmp_path: Path) -> None:
    made = built_root(store)
    shutil.copytree(store.root, tmp_path / "other")
    other = Store(str(tmp_path / "other"))
    keys = [made[number].key for number in (2, 7, 20)]
    (tmp_path / "own.txt").write_text("\n".join(f"key: {key}" for key in reversed(keys)))
    take_down(other, str(tmp_path / "own.txt"), lambda line: None)
    standing = _marked(store, {key: ("takedown", "") for key in keys} | {made[3].key: ("good", "")})
    assert write_takedown_list(standing.values(), str(tmp_path / "list.txt")) == 3
    take_down(store, str(tmp_path / "list.txt"), lambda line: None)
    ours = {path: data for path, data in timeless_files(store).items() if not path.startswith("marks/")}
    assert ours == timeless_files(other)
    with pytest.raises(UsageError, match="no picture is marked"):
        write_takedown_list([], str(tmp_path / "list.txt"))


def _verdicts(store: Store) -> list[dict[str, object]]:
    return [row for part in finished_parts(store, HUMAN_VERDICTS) for row in rows_of(store, HUMAN_VERDICTS, part)]


def test_verdicts_from_browse_equal_those_of_a_study_with_one_annotator_and_say_so(
    store: Store, tmp_path: Path
) -> None:
    study_archive(store, images=32)
    shutil.copytree(store.root, tmp_path / "studied")
    studied = Store(str(tmp_path / "studied"))
    sample(studied, SampleOptions(n=10_000, heldout=0, workers=1, gold=0.0, seed=0))
    items = read_items(studied)
    refused = {item.item for number, item in enumerate(items) if number % 3 == 1}
    answers = [
        Answer(
            item=item.item, worker="w", channel="page", assignment=item.item, left=True, began=1.0, submitted=1.0,
            judgement=Judgement(
                choice=NEITHER if item.item in refused else GENERATED, accurate=(True,) * 5,  # type: ignore[arg-type]
                reason="wrong_emotion" if item.item in refused else "",
            ),
        )
        for item in items
    ]  # fmt: skip
    write_answers(studied, CAPTIONS, "one", answers)
    study = load_study(studied)
    write_verdicts(studied, study, judge(study))
    marks = {item.key: ("reject", "wrong_emotion") if item.item in refused else ("good", "") for item in items}
    standing = _marked(store, marks)
    assert list(apply_verdicts(store, standing.values())) == [
        f"verdicts from browse: {len(items)} images in human_verdicts/"
    ]
    ours, theirs = _verdicts(store), _verdicts(studied)
    assert {row["by"] for row in ours} == {"browse"} and {row["by"] for row in theirs} == {None}
    assert [row | {"by": None} for row in ours] == theirs and sum(row["accepted"] is False for row in ours) == len(
        refused
    )
    assert not list(read_verdicts(store)), "what studies make of verdicts is made of studies alone"
    # both in one archive: the study's verdict holds, and the other ones stay
    others = {row["key"] for row in ours} - {items[0].key}
    kept = [mark for mark in standing.values() if mark.key in others]
    extra = Mark(key=items[0].key, mark="reject", reason="other")
    list(apply_verdicts(studied, [*kept, extra]))
    assert _verdicts(studied) == theirs


def test_what_was_said_beside_a_mark_goes_with_a_takedown_and_the_mark_stays(store: Store) -> None:
    file = MarksFile(marks_path(store))
    for key in ("0" * 16, "1" * 16):
        file.add(Mark(key=key, mark="reject", reason="other", comment="the man with the red hat"))
    file.close()
    forget(store, frozenset({"0" * 16}))
    standing = read_marks(marks_path(store))
    assert standing["0" * 16].mark == "reject" and not standing["0" * 16].comment
    assert standing["1" * 16].comment == "the man with the red hat"


def test_a_line_that_was_being_written_is_no_mark_and_the_next_one_is_whole(store: Store) -> None:
    path = marks_path(store)
    _marked(store, {"a" * 16: ("good", "")})
    with path.open("ab") as file:
        file.write(b'{"at": 1, "comm')
    assert set(read_marks(path)) == {"a" * 16}
    assert set(_marked(store, {"b" * 16: ("takedown", "")})) == {"a" * 16, "b" * 16}
    assert set(_marked(store, {"a" * 16: ("", "")})) == {"b" * 16}
