"""The likeness of two pictures is that of EmoEditor's public code: grey, uniform windows, sample covariance."""

import cv2
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from editor.methods.similarity import Pixels, grey_ssim
from tests.making import textured


def _picture(seed: int, size: tuple[int, int] = (70, 60)) -> Pixels:
    return np.asarray(textured(*size, seed=seed), np.uint8)


def _plain(one: Pixels, other: Pixels, window: int) -> float:
    x, y = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY).astype(np.float64) for each in (one, other))
    xs, ys = (sliding_window_view(each, (window, window)).reshape(-1, window * window) for each in (x, y))
    values = []
    for a, b in zip(xs, ys, strict=True):
        covariance = np.cov(a, b, ddof=1)
        c1, c2 = 6.5025, 58.5225
        values.append(
            (2 * a.mean() * b.mean() + c1)
            * (2 * covariance[0, 1] + c2)
            / ((a.mean() ** 2 + b.mean() ** 2 + c1) * (covariance[0, 0] + covariance[1, 1] + c2))
        )
    return float(np.mean(values))


@pytest.mark.parametrize("window", [7, 51])
def test_it_is_the_mean_over_every_window_inside_the_picture(window: int) -> None:
    one, other = _picture(1), _picture(2)
    assert grey_ssim(one, other, window) == pytest.approx(_plain(one, other, window), abs=1e-9)
    assert grey_ssim(one, one, window) == pytest.approx(1)


def test_a_window_that_the_picture_does_not_hold_is_cut_to_the_largest_odd_one() -> None:
    one, other = _picture(1, (48, 32)), _picture(2, (48, 32))
    assert grey_ssim(one, other, 51) == pytest.approx(_plain(one, other, 31), abs=1e-9)


def test_of_a_part_only_the_windows_count_whose_middle_lies_in_it() -> None:
    one, other = _picture(1), _picture(2).copy()
    other[:40] = one[:40]
    where = np.zeros(one.shape[:2], bool)
    where[:37] = True  # windows of 7 with their middle here lie in what is equal
    assert grey_ssim(one, other, 7, where=where) == pytest.approx(1)
    parts = [grey_ssim(one, other, 7, where=part) for part in (where, ~where)]
    counts = [34 * (one.shape[1] - 6), (one.shape[0] - 40) * (one.shape[1] - 6)]
    assert np.average(parts, weights=counts) == pytest.approx(grey_ssim(one, other, 7))
    assert np.isnan(grey_ssim(one, other, 7, where=np.zeros_like(where)))
