"""An EmoEditor on the demo's base: the named commands make one, and edit, studio and pairs take it.

A step or two of training: it proves plumbing and no quality.
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from editor.provenance import read_record
from editor.studio.handlers import Handlers
from editor.studio.runs import Runs
from editor.studio.work import Work
from editor.tools import Tools
from moodarchive.errors import ConfigError
from moodarchive.settings import load
from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import PAIRS
from pipelines.commands.app import app
from pipelines.editing.edit import make_editor
from pipelines.editing.sets.emopair.build import build_pairs
from pipelines.editing.sets.emopair.settings import PairSettings
from tests.making import rows_of, textured

SCHEDULE = "[schedule]\nsteps = 1\nbatch = 2\nlearning_rate = 1e-3\nwarmup_steps = 1\ndecay_steps = 1\n"


def _run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As EMOEDITOR_COMMANDS have it, but small."""
    top = tmp_path_factory.mktemp("demo-emoeditor")
    (top / "predictor.toml").write_text(
        f'kind = "predictor"\noutput = "{top}/predictor"\ndrawn = 1\nside = 32\nhidden_sizes = [8, 16]\n'
        f"depths = [1, 1]\nembedding_size = 8\nthreads = 1\n{SCHEDULE}"
    )
    (top / "emoeditor.toml").write_text(
        f'kind = "emoeditor"\noutput = "{top}/emoeditor"\npairs = "{top}/pairs"\nbase = "demo"\nsize = 32\n'
        f'sets = ["train", "validation", "heldout"]\npredictor = "{top}/predictor/model"\nhidden = [8]\nthreads = 1\n'
        + SCHEDULE
    )
    _run("train", str(top / "predictor.toml"))
    source = {"kind": "drawn", "count": 4, "size": 32}
    build_pairs(PairSettings.model_validate({"sources": [source]}), str(top / "pairs"), on_ray=False)
    said = _run("train", str(top / "emoeditor.toml")).replace("\n", " ")
    assert f"--method emoeditor --base demo --model {top}/emoeditor/model" in said  # with the demo's own settings
    (top / "photos").mkdir()
    for number in range(2):
        textured(32, 32, seed=number).save(top / f"photos/{number}.png")
    return top


def test_edit_takes_it_beside_the_demos_base(made: Path, tmp_path: Path) -> None:
    _run(
        "edit", str(made / "photos/0.png"), "--emotion", "fear", "--method", "emoeditor", "--base", "demo",
        "--model", str(made / "emoeditor/model"), "--rounds", "2", "--steps", "2", "-o", str(tmp_path / "fear.png"),
    )  # fmt: skip
    record = read_record(tmp_path / "fear.png")
    assert record is not None and record.method == "emoeditor"
    assert record.settings["size"] == 64 and record.settings["iei"]["ssim_window"] == 11
    with Image.open(tmp_path / "fear.png") as edited:
        assert edited.size == (32, 32)


def test_studio_edits_with_it(made: Path, tmp_path: Path) -> None:
    tools = Tools(
        method="emoeditor", base="demo", model=str(made / "emoeditor/model"), settings={"steps": 2, "rounds": 1}
    )
    handlers = Handlers(work=Work(folder=tmp_path), runs=Runs(editor=make_editor(tools)))
    handlers.work.make()
    upload = handlers.work.uploads / "a.png"
    textured(40, 32, seed=5).save(upload)
    photos, photo, *_ = handlers.open([str(upload)], None, "", None, "", None)
    request: Any = SimpleNamespace(session_hash="page")

    def edit(emotion: str) -> list[tuple[Any, ...]]:
        return list(handlers.edit(photos, photo, None, None, [emotion], 1, "", "found", "", "one", 3, 1, request))

    last = edit("fear")[-1]
    assert "Done" in last[0] and "emoeditor" in last[2], last[0]
    (path,) = handlers.work.edits.glob("*.png")
    record = read_record(path)
    assert record is not None and (record.method, record.emotion, record.seed) == ("emoeditor", "fear", 3)
    assert np.asarray(last[1][1]).shape == (32, 40, 3)
    assert "is none of Mikels" in edit("curiosity")[-1][0]  # it has no place there; the page goes on
    assert "Done" in edit("anger")[-1][0]


@pytest.mark.parametrize("named", ["folder", "demo"])
def test_pairs_are_made_with_it(made: Path, tmp_path: Path, named: str) -> None:
    (tmp_path / "instructions.json").write_text(json.dumps({"fear": [{"text": "add a shadow"}]}))
    model = str(made / "emoeditor/model")
    maker = {"base": model} if named == "folder" else {"base": "demo", "model": model}
    values = {
        "sources": [
            {
                "kind": "generated", "folder": str(made / "photos"), "count": 2,
                "instructions": str(tmp_path / "instructions.json"),
            }
        ],
        "maker": {"method": "emoeditor", "steps": 2, "size": 32, "rounds": 1, **maker},
        "predictor": str(made / "predictor/model"),
    }  # fmt: skip
    manifest = build_pairs(PairSettings.model_validate(values), str(tmp_path / "set"), on_ray=False)
    assert manifest.pairs == 2
    store = Store(str(tmp_path / "set"))
    rows = [row for part in finished_parts(store, PAIRS) for row in rows_of(store, PAIRS, part)]
    assert all(row["target_sha256"] not in (None, row["source_sha256"]) for row in rows)


def test_pairs_by_an_emoeditor_that_nobody_names_are_refused_before_anything_is_read() -> None:
    text = (
        'predictor = "p"\n[[sources]]\nkind = "generated"\nfolder = "f"\ninstructions = "i"\n'
        '[maker]\nmethod = "emoeditor"\n'
    )
    with pytest.raises(ConfigError, match=r"needs maker\.base"):
        load(PairSettings, text, "the file")
    with pytest.raises(ConfigError, match=r"that model as maker\.model"):
        load(PairSettings, f'{text}base = "demo"\n', "the file")
