"""Candidates of a ranking study: edited by several methods, taken in by the study, and chosen ones become pairs."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from moodarchive.diffusion.predictor import make_predictor
from moodarchive.errors import ConfigError, DatasetError
from moodarchive.settings import load
from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import PAIRS
from pipelines.commands.app import app
from pipelines.editing.sets.emopair.build import build_pairs
from pipelines.editing.sets.emopair.candidates import write_candidates
from pipelines.editing.sets.emopair.choices import read_choices
from pipelines.editing.sets.emopair.settings import CandidateSettings, PairSettings
from pipelines.editing.sets.emopair.verify import verify_pairs
from pipelines.study.record_steps import draw
from tests.editor.small_models import small_base
from tests.making import rows_of, textured
from tests.moodarchive.diffusion.small_emoeditor import PREDICTOR
from validate.study.design.study import RANKING
from validate.study.records.items import read_record_items

INSTRUCTIONS = {
    "fear": [{"text": "add a shadow", "score": 0}, {"text": "add fog", "score": 0}, {"text": "fewer", "score": -1}],
    "awe": [{"text": "add stars", "score": 0}],
}
PHOTOS = 3


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sources, instructions, a base, colours, a settings file, and out/ as the command left it."""
    top = tmp_path_factory.mktemp("candidates")
    small_base(top / "instruct", channels=8)
    make_predictor(PREDICTOR, seed=2).save(top / "predictor")
    (top / "photos" / "sub").mkdir(parents=True)
    for number in range(PHOTOS):
        textured(40, 32, seed=number).save(top / "photos" / "sub" / f"{number}.png")
    (top / "photos" / "broken.jpg").write_bytes(b"no picture")
    for emotion in ("fear", "awe"):
        (top / "colours" / emotion).mkdir(parents=True)
        textured(32, 32, seed=9).save(top / "colours" / emotion / "a.png")
    (top / "instructions.json").write_text(json.dumps(INSTRUCTIONS))
    (top / "candidates.toml").write_text(
        f"""folder = "{top}/photos"
instructions = "{top}/instructions.json"
kept_instructions = 2
count = 8
candidates = 3
[[makers]]
method = "instruct-pix2pix"
base = "{top}/instruct"
steps = 1
size = 32
[[makers]]
method = "colour-transfer"
base = "{top}/colours"
"""
    )
    done = CliRunner().invoke(app, ["pairs", "candidates", str(top / "candidates.toml"), str(top / "out")])
    assert done.exit_code == 0, done.exception
    assert "6 records in" in done.output and "left out: " in done.output and "broken.jpg" in done.output
    return top


def _settings(made: Path) -> CandidateSettings:
    return load(CandidateSettings, (made / "candidates.toml").read_text(), "candidates.toml")


def _records(made: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (made / "out/ranking.jsonl").read_bytes().splitlines()]


def _ranked(made: Path, path: Path, **best: int | None) -> Path:
    """A study's report, in which the records have the best candidates that are given."""
    rows = [{"key": key, "votes": [], "none": 0, "best": index} for key, index in best.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_each_record_has_its_edits_by_several_methods_and_the_study_takes_them_in(made: Path, tmp_path: Path) -> None:
    records = _records(made)
    assert {record["group"] for record in records} == {f"sub/{number}.png" for number in range(PHOTOS)}
    for record in records:
        candidates = record["candidates"]
        assert [one["method"] for one in candidates] == ["instruct-pix2pix", "colour-transfer", "instruct-pix2pix"]
        kept = {entry["text"] for entry in INSTRUCTIONS[record["emotion"]][:2]}
        assert {one["text"] for one in candidates} == kept  # the worst one of fear is not tried
        pictures = [(made / "out" / one["file"]).read_bytes() for one in candidates]
        assert len(set(pictures)) == 3 and Image.open(made / "out" / candidates[0]["file"]).size == (40, 32)
    store = Store(str(tmp_path / "root"))
    draw(store, RANKING, str(made / "out"), workers=1, seed=0)
    items = {item.key: item for item in read_record_items(store, RANKING)}
    assert {key: item.notes for key, item in items.items()} == {
        record["key"]: tuple(one["text"] for one in record["candidates"]) for record in records
    }


def test_a_call_that_was_cut_off_goes_on_and_other_settings_are_refused(made: Path) -> None:
    out, settings = made / "out", _settings(made)
    records = (out / "ranking.jsonl").read_bytes()
    lost = out / _records(made)[0]["candidates"][1]["file"]
    pixels = lost.read_bytes()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png") if path != lost}
    lost.unlink()
    (out / "ranking.jsonl").unlink()
    said: list[str] = []
    write_candidates(settings, out, said.append)
    assert (out / "ranking.jsonl").read_bytes() == records and lost.read_bytes() == pixels
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "colour-transfer: 1 edits" in said and not any("instruct-pix2pix" in line for line in said)
    with pytest.raises(ConfigError, match="seed was 0, is 1; remedy: another root"):
        write_candidates(settings.model_copy(update={"seed": 1}), out, said.append)
    assert str(made) not in (out / "settings.json").read_text()  # a path may name a person


def test_what_people_chose_becomes_pairs_and_a_record_without_a_best_one_is_left_out(
    made: Path, tmp_path: Path
) -> None:
    records = _records(made)
    ranked = _ranked(made, tmp_path / "ranked.jsonl", **{records[0]["key"]: 2, records[1]["key"]: None})
    source = {"kind": "ranked", "folder": str(made / "out"), "ranked": str(ranked), "licence": "cc0 1.0"}
    settings = PairSettings.model_validate(
        {"sources": [source], "predictor": str(made / "predictor"), "filter": {"probability": 0}}
    )
    manifest = build_pairs(settings, str(tmp_path / "set"), on_ray=False)
    store = Store(str(tmp_path / "set"))
    rows = [row for part in sorted(finished_parts(store, PAIRS)) for row in rows_of(store, PAIRS, part)]
    assert manifest.pairs == 2 and [row["reason"] for row in rows][1] == "no_best"  # others were not asked about
    chosen, record = rows[0], records[0]
    assert (chosen["prompt"], chosen["class_target"]) == (record["candidates"][2]["text"], record["emotion"])
    assert chosen["subset"] == "EPGS" and chosen["img_src_path"] == f"EPGS/{record['group']}"
    assert chosen["reason"] in (None, "same_class", "not_the_target")  # judged as every generated pair
    assert list(verify_pairs(str(tmp_path / "set"))) == []


def test_a_report_of_another_folder_or_a_damaged_line_is_named(made: Path, tmp_path: Path) -> None:
    out, key = made / "out", _records(made)[0]["key"]
    ranked = tmp_path / "ranked.jsonl"
    with pytest.raises(DatasetError, match="judges no record of"):
        read_choices(out, _ranked(made, ranked, other=0))
    with pytest.raises(DatasetError, match="line 1: candidate 7 was chosen of 3"):
        read_choices(out, _ranked(made, ranked, **{key: 7}))
    ranked.write_text(json.dumps({"key": key, "best": "first"}))
    with pytest.raises(DatasetError, match="line 1: best = 'first' is neither"):
        read_choices(out, ranked)
    bad = _records(made)[0] | {"source": "../secret.png"}
    (tmp_path / "ranking.jsonl").write_text(json.dumps(bad))
    with pytest.raises(DatasetError, match=r"line 1: '../secret.png' leads out of the folder"):
        read_choices(tmp_path, _ranked(made, ranked, **{key: 0}))
    ranked.write_text("no JSON")
    with pytest.raises(DatasetError, match="cannot be read as JSON lines"):
        read_choices(out, ranked)
