"""Results of MTurk and exports of Label Studio, as in the field cases; their placeholders become items of a study."""

import json
from pathlib import Path

import pytest

from moodarchive.errors import StudyError
from moodarchive.storage.store import Store
from tests.field_cases.cases import case, ids, needs_cases, rows
from tests.validate.study.archives import study_archive
from validate.study.answers.importing import Imported, ImportRules, import_answers
from validate.study.answers.table import read_table
from validate.study.design.items import read_items
from validate.study.design.study import CAPTIONS, read_design
from validate.study.label_studio.results import read_label_studio_rows
from validate.study.mturk.results import read_csv_rows
from validate.study.sampling.sample import SampleOptions, sample

pytestmark = needs_cases

EXPORTS = rows("study/label_studio/answers.csv")


@pytest.fixture
def drawn(store: Store) -> Store:
    study_archive(store, images=32)
    sample(store, SampleOptions(n=6, heldout=0, workers=2, gold=0, seed=5))
    return store


def _with_items(store: Store, name: str, folder: Path) -> str:
    """The file with the study's own items in place of the placeholders, otherwise byte for byte."""
    content = case(f"study/{name}").read_bytes()
    for number, item in enumerate(read_items(store), start=1):
        content = content.replace(f"00000000feed{number:04d}".encode(), item.item.encode())
    path = folder / Path(name).name
    path.write_bytes(content)
    return str(path)


def _import(store: Store, channel: str, path: str, **rules: bool) -> Imported:
    design, items = read_design(store, CAPTIONS), [one.item for one in read_items(store)]
    read = read_csv_rows if channel == "mturk" else read_label_studio_rows
    return import_answers(store, design, channel, read(path, design), items, rules=ImportRules(**rules))


def _counts(done: Imported) -> dict[str, int]:
    return {kind: count for kind, count in done.counts.items() if count and kind != "missing"}


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("unquoted_line_ends.csv", {"accepted": 4}),
        ("quoted_line_ends.csv", {"accepted": 4}),
        ("semicolon.csv", {"accepted": 1}),
        ("rejected.csv", {"accepted": 1, "rejected": 1}),
        ("same_worker_twice.csv", {"accepted": 1, "duplicate": 1}),
        ("bom_crlf.csv", {"accepted": 1}),
    ],
)
def test_mturk(name: str, counts: dict[str, int], drawn: Store, tmp_path: Path) -> None:
    assert _counts(_import(drawn, "mturk", _with_items(drawn, f"mturk/{name}", tmp_path))) == counts
    if name.startswith("unquoted"):
        comments = " ".join(map(str, read_table(drawn, CAPTIONS)["comment"].to_pylist()))
        text = case(f"study/mturk/{name}").read_text(encoding="utf-8")
        assert all(mark in comments for mark in "\x85\u2028\f" if mark in text)


def test_mturks_rejected_assignments_count_when_asked(drawn: Store, tmp_path: Path) -> None:
    path = _with_items(drawn, "mturk/rejected.csv", tmp_path)
    assert _counts(_import(drawn, "mturk", path, count_rejected=True)) == {"accepted": 2}


def test_a_spreadsheets_dates_are_refused_with_the_cause(drawn: Store, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"spreadsheet.*remedy"):
        _import(drawn, "mturk", _with_items(drawn, "mturk/spreadsheet_dates.csv", tmp_path))


@pytest.mark.parametrize("export", EXPORTS, ids=ids(EXPORTS, "file"))
def test_label_studio(export: dict[str, str], drawn: Store, tmp_path: Path) -> None:
    name, right = export["file"], export["right"]
    path = _with_items(drawn, f"label_studio/{name}", tmp_path)
    if right.startswith("refused") and "or 1 accepted" not in right:
        with pytest.raises(StudyError, match="remedy"):
            _import(drawn, "label-studio", path, edits=True)
        return
    counts = _counts(_import(drawn, "label-studio", path, edits=True))
    if right.startswith("to be decided"):
        assert counts == {"ground truth" if "ground" in name else "rejected": 1}
        return
    number, kind = right.removeprefix("refused with the remedy, or ").split(",")[0].split()
    assert counts == ({kind: int(number)} if int(number) else {})
    if "no address" in right:
        (address,) = {
            one["completed_by"] for task in json.loads(Path(path).read_bytes()) for one in task["annotations"]
        }
        assert all(str(address).encode() not in drawn.read_bytes(file) for file in drawn.files())


def test_every_file_is_replayed() -> None:
    text = Path(__file__).read_text()
    unread = [path.name for path in case("study/mturk").iterdir() if path.name not in (text + "input.csv")]
    assert not unread
    exports = {path.name for path in case("study/label_studio").iterdir()} - {"answers.csv"}
    assert exports == {export["file"] for export in EXPORTS}
