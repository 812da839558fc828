"""A folder is measured once: what is known is kept, what changed is measured anew, what cannot be read is a row."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from editor.evaluation.background import Background, Likeness
from editor.evaluation.clip_score import ClipScore
from editor.evaluation.esmi import Esmi
from editor.evaluation.frames import Frames, read_frames
from editor.evaluation.measure import Measure
from editor.evaluation.pairs import Pair, write_pairs
from editor.evaluation.perceptual import Lpips
from editor.evaluation.run import Measured, measure_folder
from editor.evaluation.scores import SCORED, SCORES_PATH
from editor.evaluation.structure import Structure
from moodarchive.errors import RowError
from moodarchive.tables.parquet import read_table
from tests.editor.evaluation.folders import folder_of_pairs, picture
from tests.editor.evaluation.light import Light
from tests.editor.evaluation.measuring_models import MeasuringModels

pytest.importorskip("torch")


def every(models: MeasuringModels) -> list[Measure]:
    """But the served model's choice, which needs a server."""
    return [
        Structure(models.dino), Background(), Lpips(models.lpips), ClipScore(models.clip), Esmi(models.emotions),
        Likeness(),
    ]  # fmt: skip


def run(folder: Path, measures: Sequence[Measure]) -> tuple[Measured, int]:
    """What was measured, and how many pairs had to be."""
    told: list[int] = []
    return measure_folder(folder, measures, lambda done, total: told.append(done)), len(told)


def values(measured: Measured) -> list[dict[str, float | None]]:
    return [{column.name: row.values.get(column.name) for column in SCORED} for row in measured.rows]


def test_every_pair_gets_every_figure_that_is_defined_for_it(tmp_path: Path, models: MeasuringModels) -> None:
    pairs = folder_of_pairs(tmp_path)
    measured, done = run(tmp_path, every(models))
    assert done == len(pairs) and not measured.missing and not measured.failed
    table = read_table(str(tmp_path / SCORES_PATH)).to_pylist()
    assert [row["edited"] for row in table] == [pair.edited for pair in pairs]
    for row in table:
        assert row["structure"] > 0 and row["clip"] is not None and row["clip_prompt"] is not None
        assert (row["psnr"] is None) == (row["lpips"] is None) == (not row["mask"])
        assert (row["esmi"] is None) == (row["emotion"] == "curiosity")


def test_a_second_run_measures_nothing_and_touches_no_file(tmp_path: Path, models: MeasuringModels) -> None:
    folder_of_pairs(tmp_path)
    first, _ = run(tmp_path, every(models))
    before = (tmp_path / SCORES_PATH).stat().st_ino
    again, done = run(tmp_path, every(models))
    assert done == 0 and values(again) == values(first)
    assert (tmp_path / SCORES_PATH).stat().st_ino == before  # a file that is written is a new one


def test_only_what_changed_is_measured_anew(tmp_path: Path, models: MeasuringModels) -> None:
    pairs = folder_of_pairs(tmp_path)
    first, _ = run(tmp_path, every(models))
    picture(tmp_path / pairs[1].edited, 999)
    second, done = run(tmp_path, every(models))
    assert done == 1
    assert [a == b for a, b in zip(values(first), values(second), strict=True)].count(False) == 1
    write_pairs(tmp_path, [*pairs[:-1], Pair(**{**vars(pairs[-1]), "method": "other", "category": "new"})])
    assert run(tmp_path, every(models))[1] == 0  # labels are no inputs


def test_other_weights_are_measured_anew_and_missing_ones_keep_what_they_said(
    tmp_path: Path, models: MeasuringModels
) -> None:
    folder_of_pairs(tmp_path, sources=1)
    first, _ = run(tmp_path, every(models))
    kept, done = run(tmp_path, [Structure("/nowhere"), Background(), Esmi()])
    assert done == 0 and len(kept.missing) == 2 and values(kept) == values(first)

    import torch

    state = torch.load(models.lpips, weights_only=True)
    torch.save({name: -tensor for name, tensor in state.items()}, tmp_path / "other.pth")
    other, done = run(tmp_path, [*every(models)[:2], Lpips(str(tmp_path / "other.pth"))])
    assert done == 3
    assert [row.values["clip"] for row in other.rows] == [row.values["clip"] for row in first.rows]


def test_hostile_and_broken_files_become_rows_with_their_error(tmp_path: Path) -> None:
    good = folder_of_pairs(tmp_path, sources=1)[0]
    (tmp_path / "secret.png").symlink_to("/etc/hostname")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes((tmp_path / good.edited).read_bytes()[:400])
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    picture(tmp_path / "wide.png", 1, (160, 80))
    picture(tmp_path / "wide-mask.png", 1, (160, 80))
    os.mkfifo(tmp_path / "fifo.png")
    expected = {"secret.png": "outside", "text.png": "bad_picture", "cut.png": "bad_picture", "bomb.png": "bad_picture",
                "wide.png": "size_differs", "none.png": "missing", "fifo.png": "missing"}  # fmt: skip
    pairs = [good, *(Pair(source=good.source, edited=name, emotion="joy") for name in expected)]
    masked = Pair(source=good.source, edited="copy.png", emotion="joy", mask="wide-mask.png")
    picture(tmp_path / "copy.png", 3)
    write_pairs(tmp_path, [*pairs, masked])
    measured, _ = run(tmp_path, [Background()])
    assert {row.pair.edited: row.error for row in measured.failed} == {**expected, "copy.png": "bad_mask"}
    assert all(row.message for row in measured.failed)
    picture(tmp_path / "none.png", 5)
    again, _ = run(tmp_path, [Background()])
    assert {row.pair.edited for row in measured.failed} - {row.pair.edited for row in again.failed} == {"none.png"}


def test_an_edit_of_another_size_but_the_same_shape_is_brought_to_the_sources(tmp_path: Path) -> None:
    (good, *_) = folder_of_pairs(tmp_path, sources=1)
    picture(tmp_path / "large.png", 10, (192, 160))
    found = read_frames(tmp_path, Pair(source=good.source, edited="large.png", emotion="joy"))
    assert found.edited.shape == found.source.shape == (80, 96, 3)
    picture(tmp_path / "cropped.png", 10, (96, 96))
    with pytest.raises(RowError, match="96 x 96"):
        read_frames(tmp_path, Pair(source=good.source, edited="cropped.png", emotion="joy"))


def test_pictures_above_512_pixels_are_measured_at_512_with_their_mask(tmp_path: Path) -> None:
    picture(tmp_path / "s.png", 1, (1024, 600))
    picture(tmp_path / "e.png", 2, (1024, 600))
    mask = np.zeros((600, 1024), np.uint8)
    mask[:, 512:] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    found: Frames = read_frames(tmp_path, Pair(source="s.png", edited="e.png", emotion="joy", mask="m.png"))
    assert found.source.shape == (300, 512, 3) and found.mask is not None
    assert found.mask[:, :256].max() == 0 and found.mask[:, 256:].min() == 1


KILLED = """
import sys, time
from pathlib import Path
import editor.evaluation.run as run
from tests.editor.evaluation.light import Light
run.PAIRS_PER_WRITE = 1
def told(done, total):
    print(done, flush=True)
    time.sleep(0.05)
run.measure_folder(Path(sys.argv[1]), [Light()], told)
"""


def test_a_killed_run_goes_on_and_ends_with_the_bytes_of_an_undisturbed_one(tmp_path: Path) -> None:
    emotions = ("joy", "fear", "love", "grief", "pride", "anger")
    for name in ("killed", "undisturbed"):
        folder_of_pairs(tmp_path / name, emotions=emotions)
    started = [sys.executable, "-c", KILLED, str(tmp_path / "killed")]
    with subprocess.Popen(started, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(5)]
        process.send_signal(signal.SIGKILL)
    assert seen[-1] == "5\n"
    table = read_table(str(tmp_path / "killed" / SCORES_PATH)).to_pylist()
    assert 4 <= sum(bool(row["measured"]) for row in table) < 12
    _, done = run(tmp_path / "killed", [Light()])
    assert 0 < done <= len(table) - 4
    run(tmp_path / "undisturbed", [Light()])
    assert (tmp_path / "killed" / SCORES_PATH).read_bytes() == (tmp_path / "undisturbed" / SCORES_PATH).read_bytes()
