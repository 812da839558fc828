"""Colour transfer as a method: its references are a folder by emotion, an archive's best, or the demo's drawings."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from editor.edit import Edit, default_settings
from editor.loading import load_method
from editor.methods.references import open_references
from editor.provenance import read_record
from moodarchive.errors import EditError, MissingWeightsError
from moodarchive.storage.store import Store
from pipelines.commands.app import app
from tests.making import sealed_archive, textured


def _folder(top: Path, **colours: tuple[int, int, int]) -> Path:
    for emotion, colour in colours.items():
        (top / emotion).mkdir(parents=True)
        Image.new("RGB", (32, 32), colour).save(top / emotion / "1.png")
    return top


def _edit(base: str, emotion: str) -> Image.Image:
    method = load_method("colour-transfer", base, None, default_settings("colour-transfer"))
    edit = Edit(image=textured(32, 24, seed=1), prompt="", emotion=emotion, seed=5)
    return method.edit([edit], lambda done, total: None, lambda: False)[0]


def test_the_emotions_own_pictures_come_first_then_those_of_its_class(tmp_path: Path) -> None:
    folder = _folder(tmp_path, joy=(250, 200, 40), sadness=(20, 40, 120), curiosity=(1, 2, 3))
    assert np.asarray(_edit(str(folder), "joy")).reshape(-1, 3).mean(0) == pytest.approx((250, 200, 40), abs=2)
    # grief is one of the emotions that Mikels' sadness stands for
    assert np.asarray(_edit(str(folder), "grief")).reshape(-1, 3).mean(0) == pytest.approx((20, 40, 120), abs=2)
    with pytest.raises(EditError, match="no picture of 'anger'; remedy"):
        _edit(str(folder), "anger")
    assert {"joy", "sadness", "grief"} <= set(open_references(str(folder)))


def test_an_archive_gives_its_best_scored_pictures_of_the_emotion(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "archive"))
    sealed_archive(store)
    import moodarchive

    archive = moodarchive.open(store.root)
    best = max(
        (sample for name in archive.sets for sample in archive.samples(name)),
        key=lambda sample: (sample.metadata["score"], -int(sample.key, 16)),
    )
    references = open_references(store.root)
    assert best.set != "private"
    assert references[best.emotion][0].tobytes() == best.image().convert("RGB").tobytes()
    assert _edit(store.root, best.emotion).size == (32, 24)


def test_without_references_the_three_ways_to_them_are_named(tmp_path: Path) -> None:
    for base in ("", str(tmp_path / "absent"), str(tmp_path)):
        with pytest.raises(MissingWeightsError, match=r"FOLDER/joy/1.jpg.*archive's root, or demo"):
            _edit(base, "joy")


def test_the_command_edits_with_the_demos_drawings_and_notes_pairs_for_edit_eval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.demo.bundled_base.cache_folder", lambda: tmp_path / "cache")
    textured(40, 32, seed=3).save(tmp_path / "photo.png")
    done = CliRunner().invoke(
        app,
        [
            "edit", str(tmp_path / "photo.png"), "--method", "colour-transfer", "--base", "demo",
            "--emotion", "sadness",
            "-o", str(tmp_path / "edited.png"), "--pairs", str(tmp_path),
        ],
    )  # fmt: skip
    assert done.exit_code == 0, (done.output, done.exception)
    record = read_record(tmp_path / "edited.png")
    assert record is not None and record.method == "colour-transfer"
    assert "colour-transfer" in (tmp_path / "pairs.csv").read_text()
    assert len(list((tmp_path / "cache/demo-references-1/sadness").glob("*.png"))) == 6
