"""Figures of edits whose true answer is known."""

import numpy as np
import pytest
from PIL import Image

from editor.methods.baselines import ColourTransfer
from moodarchive.errors import EditError
from pipelines.demo.closed_world import (
    CASE_SEEDS,
    Crowd,
    draw_cases,
    draw_references,
    edit_cases,
    kept_outside,
    psnr,
    score,
    ssim,
    standard_error,
)
from pipelines.demo.pairs.drawing import draw_paired
from pipelines.demo.pairs.judge import JUDGE_SEEDS, open_judge
from pipelines.demo.pairs.pictures import TRAINING_SEEDS


def test_no_case_is_a_place_that_was_trained_on() -> None:
    places = [case.source.place_seed for seed in range(3) for case in draw_cases(4, seed)]
    assert len(set(places)) == 12
    assert all(CASE_SEEDS <= place < min(TRAINING_SEEDS, JUDGE_SEEDS) for place in places)


def test_the_true_answer_is_perfect_and_the_source_is_not() -> None:
    cases, judge = draw_cases(18, seed=0), open_judge()
    true = score(judge, cases, [case.target.image for case in cases])
    none = score(judge, cases, [case.source.image for case in cases])
    assert true.named.mean() >= 0.9 and none.named.mean() <= 0.1
    assert (true.psnr == 99).all() and true.ssim == pytest.approx(np.ones(18))
    assert (none.psnr < 30).all() and (none.ssim < 0.95).all()


def test_the_right_place_is_found_among_a_hundred_and_another_is_not() -> None:
    crowd, cases = Crowd(), draw_cases(3, seed=1)
    assert all(crowd.finds(case, case.target.image) for case in cases)
    others = [draw_paired(case.target.kind, 777, case.target.mood).image for case in cases]
    assert not any(crowd.finds(case, image) for case, image in zip(cases, others, strict=True))


def test_a_local_case_is_equal_outside_its_mask() -> None:
    for case in draw_cases(3, seed=0, local=True):
        edited, rebuilt = kept_outside(case, case.target.image, case.source.image)
        assert edited == rebuilt == 99
        worse = Image.new("RGB", case.source.image.size)
        assert kept_outside(case, worse, case.source.image)[0] < 30


def test_figures_of_known_pictures() -> None:
    black, grey = Image.new("RGB", (16, 16)), Image.new("RGB", (16, 16), (51, 51, 51))
    assert psnr(black, grey) == pytest.approx(10 * np.log10(25), abs=1e-9)
    assert ssim(grey, grey) == pytest.approx(1)
    assert standard_error(np.array([0.0, 2.0])) == pytest.approx(1)


def test_colour_transfer_takes_mean_and_deviation_of_the_reference() -> None:
    method, cases = ColourTransfer(draw_references(1)), draw_cases(3, seed=0)
    edited = edit_cases(method, cases, seed=0)
    for case, image in zip(cases, edited, strict=True):
        wanted = np.asarray(draw_references(1)[case.emotion][0], dtype=float).mean((0, 1))
        before = np.asarray(case.source.image, dtype=float).mean((0, 1))
        after = np.asarray(image, dtype=float).mean((0, 1))
        assert np.linalg.norm(after - wanted) < 0.5 * np.linalg.norm(before - wanted)
    with pytest.raises(EditError, match="no picture of"):
        edit_cases(ColourTransfer({}), cases, seed=0)
