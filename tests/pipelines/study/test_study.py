"""A whole study by the command line, with simulated workers: sample, import, report, verdicts, MoodArchive-5k."""

import io
import json
import shutil
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from moodarchive.errors import DamagedPartError, StudyError
from moodarchive.models.clip import ClipEncoder
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import HUMAN_VERDICTS, ITEMS, SELECTION
from pipelines.commands.app import app
from pipelines.commands.study import Channel, Vendor
from pipelines.study.channels import CHANNELS, VENDORS
from shards.seal import seal
from tests.making import pack_parts, rows_of, write_rows
from tests.train.small import tiny_clip
from tests.validate.study.archives import HOSTILE, study_archive
from train.data.verified import open_verified
from train.evaluation.evaluate import evaluate
from validate.study.answers.table import read_table
from validate.study.design.items import read_items
from validate.study.verdicts.table import read_verdicts
from validate.verify import verify

TIMES = ("started", "finished")


def _study(*words: str) -> str:
    done = CliRunner().invoke(app, ["study", *words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A study from its sample to its verdicts; tests only read it."""
    store = Store(str(tmp_path_factory.mktemp("study") / "root"))
    study_archive(store, hostile=True)
    _study("sample", store.root, "--n", "60", "--workers", "5")
    _study("import", store.root, "--from", "simulated")
    _study("report", store.root)
    _study("apply", store.root)
    return store


def _contents(store: Store) -> dict[str, bytes]:
    contents = {}
    for path in store.files():
        content = store.read_bytes(path)
        if path.endswith(".json") and b'"started"' in content:
            content = json.dumps(
                {name: value for name, value in json.loads(content).items() if name not in TIMES}
            ).encode()
        contents[path] = content
    return contents


def test_every_answer_is_there_and_the_page_says_that_they_are_simulated(judged: Store) -> None:
    page = judged.read_bytes("study/captions/report.html").decode()
    assert "Human validation (simulated)" in page and "No person has answered" in page
    assert "the paper's figure, not ours" in page and "85.0%" in page
    assert HOSTILE not in page and "&lt;script&gt;" in page
    assert "<script" not in page
    assert read_table(judged, "captions").num_rows % 5 == 0


def test_verdicts_name_no_worker_and_follow_the_votes(judged: Store) -> None:
    rows = list(read_verdicts(judged))
    workers = set(read_table(judged, "captions")["worker"].to_pylist())
    assert rows and all(row["simulated"] and row["answers"] == 5 for row in rows)
    for path in [*judged.files("human_verdicts"), *judged.files("moodarchive-5k")]:
        content = judged.read_bytes(path)
        assert not any(worker.encode() in content for worker in workers), path
    accepted = [row for row in rows if row["accepted"]]
    assert 0.4 < len(accepted) / len(rows) < 1
    assert all(row["generated"] >= 1 for row in accepted)


def test_the_verified_set_holds_the_accepted_heldout_images_with_their_counts(judged: Store) -> None:
    accepted = {row["key"]: row for row in read_verdicts(judged) if row["accepted"]}
    heldout = {row["key"] for part in (0, 1) for row in rows_of(judged, SELECTION, part) if row["split"] == "heldout"}
    manifest = json.loads(judged.read_bytes("moodarchive-5k/manifest.json"))
    assert manifest["simulated"] and manifest["samples"] == len(accepted.keys() & heldout) > 0
    assert manifest["answers_per_image"] == {"5": manifest["samples"]}
    with judged.open_read("moodarchive-5k/shards/heldout/00000.tar") as file, tarfile.open(fileobj=file) as tar:
        names = tar.getnames()
        assert {name.split(".")[0] for name in names} == accepted.keys() & heldout
        about = [json.load(tar.extractfile(name)) for name in names if name.endswith(".json")]  # type: ignore[arg-type]
    assert [one["sha256"] for one in about] == sorted(one["sha256"] for one in about)
    for one in about:
        assert one["human_verification"]["answers"] == 5 and one["licence"]
    assert b"no person has verified" in judged.read_bytes("moodarchive-5k/README.md")


def test_a_model_is_measured_on_the_verified_set(judged: Store, tmp_path: Path) -> None:
    manifest = json.loads(judged.read_bytes("moodarchive-5k/manifest.json"))
    verified = open_verified(judged.root)
    assert verified.simulated
    result = evaluate(verified.archive, ClipEncoder(model=tiny_clip(tmp_path)))
    assert result.pictures == manifest["samples"] >= 10 and result.folds == 5


def test_the_archive_is_still_whole_and_damage_to_the_verified_set_is_named(judged: Store, tmp_path: Path) -> None:
    assert list(verify(judged)) == []
    copy = Store(str(shutil.copytree(judged.root, tmp_path / "copy")))
    path = Path(copy.path("moodarchive-5k/shards/heldout/00000.tar"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    Path(copy.path("moodarchive-5k/odd.txt")).write_text("odd")
    problems = {problem.where for problem in verify(copy, fast=True)}
    assert problems == {"moodarchive-5k/shards/heldout/00000.tar", "moodarchive-5k/odd.txt"}


def test_a_changed_heldout_sample_is_not_sealed_once_more(judged: Store, tmp_path: Path) -> None:
    copy = Store(str(shutil.copytree(judged.root, tmp_path / "copy")))
    shutil.rmtree(copy.path("moodarchive-5k"))
    for part in (0, 1):
        index = pq.read_table(copy.path(f"shards/heldout/{part:05d}.parquet")).to_pylist()
        path = Path(copy.path(f"shards/heldout/{part:05d}.tar"))
        data = bytearray(path.read_bytes())
        for row in index:
            data[row["jpg_offset"] + row["jpg_size"] // 2] ^= 1
        path.write_bytes(data)
    with pytest.raises(DamagedPartError, match=r"is not what .*shards/heldout/00000\.parquet says; remedy: .* verify"):
        _study("apply", copy.root)
    assert not copy.exists("moodarchive-5k/manifest.json")


def test_doing_it_all_again_changes_no_byte(judged: Store) -> None:
    before = _contents(judged)
    _study("sample", judged.root, "--n", "60", "--workers", "5")
    before_import = read_table(judged, "captions")
    assert "accepted 0," in _study("import", judged.root, "--from", "simulated")
    assert read_table(judged, "captions").equals(before_import)
    _study("report", judged.root)
    _study("apply", judged.root)
    after = _contents(judged)
    assert {path for path in before if before[path] != after[path]} == set()


def test_rejected_heldout_images_are_replaced_when_the_sample_is_drawn_again(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    study_archive(store)
    _study("sample", store.root, "--n", "20", "--heldout", "6", "--workers", "5")
    _study("import", store.root, "--from", "simulated", "--seed", "4")
    _study("apply", store.root)
    heldout = {row["key"] for part in (0, 1) for row in rows_of(store, SELECTION, part) if row["split"] == "heldout"}
    rejected = sum(row["accepted"] is False and row["key"] in heldout for row in read_verdicts(store))
    assert rejected
    assert f"({6 + rejected} held out)" in _study("sample", store.root, "--n", "20", "--heldout", "6", "--workers", "5")


def test_answers_of_programs_and_of_people_do_not_mix(judged: Store, tmp_path: Path) -> None:
    (tmp_path / "export.json").write_text("[]")
    with pytest.raises(StudyError, match="do not mix"):
        _study("import", judged.root, "--from", "label-studio", "--file", str(tmp_path / "export.json"))


def test_a_study_that_was_not_drawn_or_answered_says_what_to_do(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    study_archive(store, images=32)
    with pytest.raises(StudyError, match="study sample"):
        _study("report", store.root)
    _study("sample", store.root, "--n", "8")
    with pytest.raises(StudyError, match="study import"):
        _study("report", store.root)
    with pytest.raises(StudyError, match="is no moment"):
        _study("import", store.root, "--from", "simulated", "--closed", "tomorrow")
    assert HUMAN_VERDICTS.name not in store.names()


def test_a_takedown_reaches_the_studys_own_copies(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    study_archive(store, images=48)
    _study("sample", store.root, "--n", "30", "--workers", "3")
    _study("import", store.root, "--from", "simulated")
    _study("apply", store.root)
    _study("export", store.root, "--to", "label-studio")
    inner = pq.read_table(io.BytesIO(store.read_bytes("moodarchive-5k/shards/heldout/00000.parquet")))
    key = inner["key"][0].as_py()
    title = next(row["title"] for part in (0, 1) for row in rows_of(store, ITEMS, part) if row["key"] == key)
    assert any(title.encode() in store.read_bytes(path) for path in store.files("moodarchive-5k"))
    for part in (0, 1):
        rows = rows_of(store, SELECTION, part)
        gone = [{**row, "kept": False, "reason": "taken_down"} if row["key"] == key else row for row in rows]
        write_rows(store, SELECTION, part, gone)
    pack_parts(store, (0, 1))
    seal(store)
    assert any(problem.where == key for problem in verify(store, fast=True))
    _study("apply", store.root)
    assert list(verify(store, fast=True)) == []
    assert not store.exists(f"study/captions/label-studio/pictures/{key}.jpg")
    left = [item for item in read_items(store) if item.key == key]
    assert left and not any(item.summary or item.title or item.creator or item.original for item in left)
    assert key not in {row["key"] for row in read_verdicts(store)}
    _study("report", store.root)
    for path in [*store.files("study"), *store.files("moodarchive-5k"), *store.files("human_verdicts")]:
        assert f'{title}"'.encode() not in store.read_bytes(path), path
    _study("sample", store.root, "--n", "30", "--workers", "3")


def test_the_command_line_offers_every_channel_and_no_other() -> None:
    assert {channel.value for channel in Channel} == CHANNELS.keys()
    assert {vendor.value for vendor in Vendor} == VENDORS.keys()
