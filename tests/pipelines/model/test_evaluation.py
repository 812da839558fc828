"""`moodarchive eval` from the command line: every set, a baseline, the paper's tables, the labels and what is kept."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from moodarchive.errors import ConfigError, MoodArchiveError, NotAnArchiveError
from moodarchive.storage.store import Store
from pipelines.commands.app import app
from pipelines.model.evaluated_model import evaluated
from pipelines.model.paper_tables import CLASSIFIED, PAPER, RETRIEVED
from tests.making import sealed_archive
from tests.train.published import made
from tests.train.small import small_settings, tiny_clip
from train.model.towers import open_towers
from train.saving.checkpoint import Progress
from train.saving.export import export
from train.settings import ModelSettings

SETS = ("emotion6", "emoset", "emotic", "senticap", "affection")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed archive with an exported model inside."""
    store, start = Store(str(tmp_path_factory.mktemp("archive"))), tiny_clip(tmp_path_factory.mktemp("start"))
    sealed_archive(store)
    settings = small_settings(start, Path(store.root), loss={"fine_grained": 0.0})
    towers = open_towers(ModelSettings(name=start, pretrained=""))
    export(store, towers, Progress(step=7, settings={}, seals=["0"]), settings)
    return Path(store.root)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    for name in SETS:
        getattr(made, name)(folder / name)
    return folder


def _eval(*arguments: object) -> Result:
    told = CliRunner().invoke(app, ["eval", *map(str, arguments)], env={"COLUMNS": "160"}, catch_exceptions=False)
    assert told.exit_code == 0
    return told


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.replace("┃", "│").split("│")[1:-1]]


def test_everything_is_measured_for_model_and_baseline_and_stands_beside_the_paper(
    root: Path, sets: Path, tmp_path: Path
) -> None:
    baseline = tiny_clip(tmp_path / "b", seed=2)
    named = [part for name in SETS for part in ("--data", f"{name}={sets / name}")]
    told = _eval(root, "--baseline", baseline, *named, "--output", tmp_path / "figures.json").stdout
    kept = json.loads((tmp_path / "figures.json").read_text())
    model, other = kept["models"]
    assert [one["data"] for one in model["evaluations"]] == [one["data"] for one in other["evaluations"]]
    lines = [_cells(line) for line in told.splitlines() if line.startswith("│")]
    for one in model["evaluations"][1:]:
        names = [name for name in one["figures"] if "R@10" not in name]
        row = [f"{one['figures'][name]['mean']:.2f}±{one['figures'][name]['deviation']:.2f}" for name in names]
        assert ["", "this model, FG off, OT on, plumbing only", *row] in lines
        assert ["", "chance", *(f"{one['figures'][name]['chance']:.2f}" for name in names)] in lines
    for kind in ("zero_shot", "retrieval"):
        for paper in PAPER[kind]:
            for values in list(paper.values())[1:]:
                assert any(cells[1:] == [f"paper: {paper['model']}", *values] for cells in lines)
    assert (root / "report" / "evaluation.json").read_bytes() == (tmp_path / "figures.json").read_bytes()
    assert (root / "model" / "evaluation.json").read_bytes() == (tmp_path / "figures.json").read_bytes()
    assert "zero-shot, sentiment" in told and "86.16±0.37" in told


def test_a_small_model_is_labelled_on_the_terminal_in_the_json_and_in_the_card(root: Path) -> None:
    told = " ".join(_eval(root).stdout.split())
    model = json.loads((root / "model" / "evaluation.json").read_text())["models"][0]
    caveat = f"a small model of {model['parameters'] / 1e6:.1f} M parameters: the figures prove plumbing only"
    assert model["caveat"] == caveat and model["parameters"] < 10_000_000
    assert f"model: {caveat}" in told and f"**A{caveat[1:]}.**" in _card(root)


def test_the_card_holds_the_last_figures_once_and_keeps_its_other_words(root: Path, sets: Path) -> None:
    before = _card(root).split("\n\n<!-- evaluation")[0]
    _eval(root, "--data", f"emotion6={sets / 'emotion6'}")
    once = _card(root)
    _eval(root, "--data", f"emotion6={sets / 'emotion6'}")
    assert _card(root) == once
    assert once.startswith(before) and once.count("## Evaluation") == 1
    assert once.count("| Emotion6 | 30 | top-1 | 16.67 |") == 1


def _card(root: Path) -> str:
    return (root / "model" / "README.md").read_text()


def test_what_was_not_run_is_left_empty(root: Path, sets: Path) -> None:
    told = _eval(root / "model", "--data", f"emotic={sets / 'emotic'}").stdout
    ours = [_cells(line)[2:] for line in told.splitlines() if "this model" in line and line.startswith("│")]
    filled = [row for row in ours if any(row)]
    assert len(filled) == 1 and len(ours) == 6
    assert "On the set" not in told


def test_training_from_random_weights_is_told(root: Path) -> None:
    path = root / "model" / "training.json"
    told: dict[str, Any] = json.loads(path.read_text())
    assert told["from_random_weights"] is False and told["losses"]["fine_grained"] == 0.0
    random = small_settings("ViT-B-16", root)
    store = Store(str(root / "again"))
    towers = open_towers(ModelSettings(name=f"local-dir:{root / 'model'}", pretrained=""))
    export(store, towers, Progress(step=7, settings={}, seals=["0"]), random)
    assert "trained from random weights" in evaluated("model", str(root / "again")).caveat
    onwards = small_settings(f"local-dir:{root / 'again' / 'model'}", root)
    export(Store(str(root / "onwards")), towers, Progress(step=9, settings={}, seals=["0"]), onwards)
    assert "trained from random weights" in evaluated("model", str(root / "onwards")).caveat


def test_the_papers_figures_are_those_of_five_folds_of_a_thousand_pairs() -> None:
    retrieved = [values for row in PAPER["retrieval"] for name, values in row.items() if name != "model"]
    ablated = [row[kind] for row in PAPER["ablation"] for kind in ("text_retrieval", "image_retrieval")]
    means = [round(100 * float(value.split("±")[0])) for values in (*retrieved, *ablated) for value in values]
    assert len(means) == 120 and all(mean % 2 == 0 for mean in means)
    assert PAPER["ablation"][-1]["classification"] == [PAPER["zero_shot"][-1][name][0] for name in CLASSIFIED]
    assert PAPER["ablation"][-1]["text_retrieval"] == [PAPER["retrieval"][-1][name][0] for name in RETRIEVED]


def test_a_name_that_is_no_model_and_nothing_to_measure_on_are_refused(root: Path, sets: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no model: neither it nor its model/"):
        _eval(tmp_path)
    with pytest.raises(ConfigError, match="nothing to measure on; remedy: --archive ROOT"):
        _eval(root / "model")
    with pytest.raises(ConfigError, match=r"--set nope: legal are train, .*moodarchive-5k"):
        _eval(root, "--set", "nope")
    with pytest.raises(NotAnArchiveError, match="remedy: moodarchive study apply"):
        _eval(root, "--set", "moodarchive-5k")
    with pytest.raises(ConfigError, match="--data names emotion6 twice"):
        _eval(root, *(2 * ["--data", f"emotion6={sets / 'emotion6'}"]))
    with pytest.raises(MoodArchiveError, match="no published dataset is called 'x'"):
        _eval(root, "--data", "x=y")
