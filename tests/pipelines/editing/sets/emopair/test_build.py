"""EmoPair sets: the authors' list survives, pairs are judged by the rules, and verify names what is wrong."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from PIL import Image
from typer.testing import CliRunner

from moodarchive.diffusion.predictor import make_predictor
from moodarchive.emotions.taxonomy import MIKELS_EIGHT
from moodarchive.errors import ConfigError, DatasetError
from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import PAIR_REQUESTS, PAIRS
from pipelines.commands.app import app
from pipelines.demo.pairs.drawing import draw_paired
from pipelines.demo.pairs.moods import Mood
from pipelines.editing.sets.emopair.build import build_pairs, export_json
from pipelines.editing.sets.emopair.json_form import read_json
from pipelines.editing.sets.emopair.settings import PairSettings
from pipelines.editing.sets.emopair.stages import PairJudge, split_of
from pipelines.editing.sets.emopair.verify import verify_pairs
from pipelines.editing.sets.settings import FilterSettings
from tests.editor.small_models import small_base
from tests.making import rows_of, textured
from tests.moodarchive.diffusion.small_emoeditor import PREDICTOR
from tests.pipelines.editing.sets.emopair.sets import authors_settings, drawn_settings, entry, write_authors
from tests.pipelines.editing.sets.sealed import content


def _pairs(root: str | Path) -> list[dict[str, Any]]:
    store = Store(str(root))
    return [row for part in sorted(finished_parts(store, PAIRS)) for row in rows_of(store, PAIRS, part)]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = str(tmp_path_factory.mktemp("drawn"))
    build_pairs(drawn_settings(), root, on_ray=False)
    return root


def test_the_authors_list_comes_out_as_it_went_in(tmp_path: Path) -> None:
    entries = [entry(number) for number in range(9)]
    entries[3]["source_softmax"] = [0.1, 0.2, 0.3, 0.1, 0.1, 0.1, 0.05, 0.0504]
    entries[4]["class_target"] = "anger"  # of one class: left out of the shards, and yet in the list
    entries.append(dict(entries[2]))  # the list may repeat itself
    (tmp_path / "EmoPair").mkdir()
    write_authors(tmp_path / "EmoPair", entries)
    manifest = build_pairs(authors_settings(tmp_path / "EmoPair"), str(tmp_path / "set"), on_ray=False)
    assert (manifest.pairs, manifest.kept, dict(manifest.reasons)) == (10, 9, {"same_class": 1})
    assert dict(manifest.sets) == {"private": 9}  # nobody says that they may be passed on
    assert list(verify_pairs(str(tmp_path / "set"))) == []
    assert export_json(str(tmp_path / "set"), tmp_path / "out.json", kept_only=False) == 10
    assert json.loads((tmp_path / "out.json").read_text()) == entries
    # and once more round
    again = PairSettings.model_validate(
        {"sources": [{"kind": "emopair", "folder": str(tmp_path / "EmoPair"), "json_file": str(tmp_path / "out.json")}]}
    )
    build_pairs(again, str(tmp_path / "again"), on_ray=False)
    export_json(str(tmp_path / "again"), tmp_path / "twice.json", kept_only=False)
    assert (tmp_path / "twice.json").read_bytes() == (tmp_path / "out.json").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_target": "joy"}, r"entry 1: class_target = 'joy' is none of"),
        ({"source_softmax": [0.125] * 7}, "entry 1: source_softmax holds 7 numbers, not 8"),
        ({"source_softmax": [0.125] * 7 + [0.1265]}, r"entry 1: source_softmax sums to 1.0015"),
        ({"source_softmax": [float("nan")] * 8}, "entry 1: source_softmax must hold numbers from 0 to 1"),
        ({"source_softmax": [True] + [0] * 7}, "entry 1: source_softmax must hold numbers"),
        ({"img_src_path": "../../etc/passwd"}, "entry 1: img_src_path = .* leads out of the folder"),
        ({"img_tgt_path": "/etc/passwd"}, "entry 1: img_tgt_path = .* leads out"),
        ({"extra": 1}, "entry 1: is no object of class_source"),
    ],
)
def test_entries_that_are_none_are_refused_by_number(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps([entry(0), entry(1, **change)]))
    with pytest.raises(DatasetError, match=message):
        read_json(path)
    path.write_text(json.dumps([entry(0), entry(1, source_softmax=[0.125] * 7 + [0.1255])]))
    assert len(read_json(path)) == 2  # within the tolerance


def test_a_missing_or_broken_picture_is_a_failed_row(tmp_path: Path) -> None:
    write_authors(tmp_path, [entry(number) for number in range(4)])
    (tmp_path / "EPGS/a/0.jpg").unlink()
    (tmp_path / "EPGS/a/1_1.jpg").write_bytes(b"no picture")
    manifest = build_pairs(authors_settings(tmp_path), str(tmp_path / "set"), on_ray=False)
    assert (manifest.kept, dict(manifest.reasons)) == (2, {"bad_picture": 1, "missing_picture": 1})
    assert list(verify_pairs(str(tmp_path / "set"))) == []


def test_drawn_pairs_are_the_same_place_in_two_moods_and_webdataset_reads_them(drawn: str) -> None:
    rows = _pairs(drawn)
    assert len(rows) == 12 and all(row["kept"] and row["class_source"] != row["class_target"] for row in rows)
    assert any(max(row["source_softmax"]) == 0.5 for row in rows)  # of mixed mood
    store = Store(drawn)
    tars = [path for path in store.files("shards") if path.endswith(".tar")]
    samples = [
        sample
        for path in tars
        for sample in webdataset.WebDataset(store.path(path), shardshuffle=False, empty_check=False)
    ]
    assert {sample["__key__"] for sample in samples} == {row["key"] for row in rows}
    requests = {row["key"]: row for part in range(3) for row in rows_of(store, PAIR_REQUESTS, part)}
    for sample in samples:
        recipe = json.loads(requests[sample["__key__"]]["recipe"])
        kind, place, size = recipe["drawn"]
        for side in ("source", "target"):
            expected = draw_paired(kind, place, Mood(*recipe[side]), size).image
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(sample[f"{side}.png"]))), np.asarray(expected))
        assert json.loads(sample["json"])["licence"] == "cc0 1.0"
    groups: dict[str, set[str]] = {}
    for row in rows:
        groups.setdefault(requests[row["key"]]["group"], set()).add(row["split"])
    assert len(groups) == 6 and all(len(splits) == 1 for splits in groups.values())


def test_two_builds_are_equal_in_bytes_and_a_finished_one_stays(drawn: str, tmp_path: Path) -> None:
    build_pairs(drawn_settings(), str(tmp_path / "again"), on_ray=False)
    assert content(tmp_path / "again") == content(drawn)
    before = {
        path: (tmp_path / "again" / path).stat().st_mtime_ns
        for path in ("pairs/00000.parquet", "shards/train/00000.tar")
    }
    build_pairs(drawn_settings(), str(tmp_path / "again"), on_ray=False)
    assert {path: (tmp_path / "again" / path).stat().st_mtime_ns for path in before} == before
    with pytest.raises(ConfigError, match="seed was 0, is 1"):
        build_pairs(drawn_settings(seed=1), str(tmp_path / "again"), on_ray=False)


def test_pairs_that_exist_are_labelled_by_the_predictor_and_equal_classes_dropped(tmp_path: Path) -> None:
    make_predictor(PREDICTOR, seed=2).save(tmp_path / "predictor")
    for number in range(6):
        folder = tmp_path / "ip2p" / f"{number:07d}"
        folder.mkdir(parents=True)
        (folder / "prompt.json").write_text(json.dumps({"input": "a house", "edit": f"as a painting {number}"}))
        for side in (0, 1):
            textured(32, 32, seed=2 * number + side).save(folder / f"7_{side}.jpg")
    settings = PairSettings.model_validate(
        {"sources": [{"kind": "instruct-pix2pix", "folder": str(tmp_path / "ip2p"), "licence": "by 4.0",
                      "licence_url": "https://creativecommons.org/licenses/by/4.0/"}],
         "predictor": str(tmp_path / "predictor")}
    )  # fmt: skip
    manifest = build_pairs(settings, str(tmp_path / "set"), on_ray=False)
    rows = _pairs(tmp_path / "set")
    for row in rows:
        for side in ("source", "target"):
            assert row[f"class_{side}"] == MIKELS_EIGHT[int(np.argmax(row[f"{side}_softmax"]))]
            assert sum(row[f"{side}_softmax"]) == pytest.approx(1, abs=1e-6)
        assert row["kept"] == (row["class_source"] != row["class_target"])
    assert manifest.pairs == 6 and "private" not in manifest.sets
    assert {row["prompt"] for row in rows} == {f"as a painting {number}" for number in range(6)}
    with pytest.raises(ValueError, match="need a predictor"):
        PairSettings.model_validate({"sources": [{"kind": "instruct-pix2pix", "folder": "x"}]})


def test_generated_pairs_pass_the_named_thresholds_or_say_which_they_miss() -> None:
    judge = PairJudge(predictor="p", rules=FilterSettings(clip="c"), heldout=0, validation=0)
    sure = [0.0] * 8
    sure[2], sure[0] = 0.6, 0.4
    row = {
        "class_source": "fear", "class_target": "awe", "clip_image": 0.8, "clip_text": 0.3, "target_softmax": sure,
    }  # fmt: skip
    unsure, other = [0.45, 0, 0.5, 0.05, 0, 0, 0, 0], [0.6, 0, 0.4, 0, 0, 0, 0, 0]
    for change, reason in (
        ({}, ""), ({"clip_image": 0.74}, "clip_image"), ({"clip_image": 0.96}, "clip_image"),
        ({"clip_image": 0.75}, ""), ({"clip_text": 0.25}, "clip_text"), ({"target_softmax": other}, "not_the_target"),
        ({"target_softmax": unsure}, "probability"), ({"class_source": "awe"}, "same_class"),
    ):  # fmt: skip
        assert judge._reason(row | change, is_generated=True) == reason, change
    assert judge._reason(row | {"clip_text": 0.0}, is_generated=False) == ""


def test_a_base_makes_pairs_of_pictures_by_the_best_instructions_of_each_class(tmp_path: Path) -> None:
    make_predictor(PREDICTOR, seed=2).save(tmp_path / "predictor")
    small_base(tmp_path / "instruct", channels=8)
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for number in range(3):
        textured(32, 32, seed=number).save(tmp_path / "photos" / "sub" / f"{number}.png")
    told = {
        "fear": [{"text": "add a shadow", "score": 2}, {"text": "less", "score": 1}, {"text": "add fog", "score": 3}],
        "awe": [{"text": "add stars", "score": 0.5}],
    }
    (tmp_path / "instructions.json").write_text(json.dumps(told))
    source = {
        "kind": "generated", "folder": str(tmp_path / "photos"), "instructions": str(tmp_path / "instructions.json"),
        "kept_instructions": 2, "count": 8,
    }  # fmt: skip
    maker = {"method": "instruct-pix2pix", "base": str(tmp_path / "instruct"), "steps": 1, "size": 32}
    values = {"sources": [source], "maker": maker, "predictor": str(tmp_path / "predictor"), "pairs_per_part": 4}
    settings = PairSettings.model_validate(values)
    manifest = build_pairs(settings, str(tmp_path / "set"), on_ray=False)
    rows = _pairs(tmp_path / "set")
    assert {row["prompt"] for row in rows} <= {"add a shadow", "add fog", "add stars"}
    assert {row["class_target"] for row in rows} == {"fear", "awe"}
    assert len({row["target_sha256"] for row in rows}) == 8 and len({row["source_sha256"] for row in rows}) == 3
    for row in rows:
        sure = row["target_softmax"][MIKELS_EIGHT.index(row["class_target"])]
        kept = sure == max(row["target_softmax"]) and sure > 0.5 and row["class_source"] != row["class_target"]
        assert row["kept"] == kept
    assert manifest.pairs == 8 and list(verify_pairs(str(tmp_path / "set"))) == []
    assert str(tmp_path) not in (tmp_path / "set" / "manifest.json").read_text()  # a path may name a person
    build_pairs(settings, str(tmp_path / "again"), on_ray=False)
    assert content(tmp_path / "again") == content(tmp_path / "set")
    (tmp_path / "instructions.json").write_text(json.dumps({"joy": []}))
    with pytest.raises(DatasetError, match="'joy' is none of"):
        build_pairs(settings, str(tmp_path / "third"), on_ray=False)


def test_splits_are_of_the_groups_and_of_their_shares() -> None:
    splits = [split_of(f"group {number}", 0.05, 0.1) for number in range(4000)]
    assert splits.count("heldout") / 4000 == pytest.approx(0.05, abs=0.015)
    assert splits.count("validation") / 4000 == pytest.approx(0.1, abs=0.02)


def test_the_commands_build_export_and_name_a_damage(tmp_path: Path, drawn: str) -> None:
    run = CliRunner().invoke
    done = run(app, ["pairs", "verify", drawn])
    assert done.exit_code == 0 and "whole" in done.output
    assert run(app, ["pairs", "export", drawn, str(tmp_path / "out.json")]).exit_code == 0
    assert len(read_json(tmp_path / "out.json")) == 12
    refused = run(app, ["pairs", "verify", str(tmp_path)])
    assert refused.exit_code != 0 and "no sealed EmoPair set" in str(refused.exception)
    config = tmp_path / "pairs.toml"
    config.write_text('[[sources]]\nkind = "drawing"\n')
    assert "kind = 'drawing'" in str(run(app, ["pairs", "build", str(config), str(tmp_path / "new")]).exception)
