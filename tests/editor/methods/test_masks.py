"""A mask means the same at every resolution."""

import numpy as np
import pytest

from editor.methods.masks import layer_weights

SHAPES = [(16, 24), (8, 12), (4, 6)]
SIZE = (64, 96)


def _blank() -> np.ndarray:
    return np.zeros((50, 75), np.float32)


def test_a_cell_is_in_the_mask_when_any_of_its_area_is() -> None:
    mask = np.where(np.random.default_rng(3).random((50, 75)) < 0.01, 0.2, 0).astype(np.float32)
    for (height, width), found in zip(SHAPES, layer_weights(mask, SIZE, SHAPES, 0), strict=True):
        for row in range(height):
            for column in range(width):
                top, bottom = row * 50 // height, -(-(row + 1) * 50 // height)
                left, right = column * 75 // width, -(-(column + 1) * 75 // width)
                assert found[row, column] == float(mask[top:bottom, left:right].max() > 0)


def test_a_single_pixel_is_seen_at_every_resolution() -> None:
    mask = _blank()
    mask[49, 74] = 1e-6
    for found in layer_weights(mask, SIZE, SHAPES, 0):
        assert found.sum() == 1
        assert found[-1, -1] == 1


def test_no_mask_is_everywhere_and_an_empty_one_nowhere() -> None:
    assert all(found.min() == 1 for found in layer_weights(None, SIZE, SHAPES, 0))
    for feather in (0, 9):
        assert all(found.max() == 0 for found in layer_weights(_blank(), SIZE, SHAPES, feather))
        assert all(found.min() == 1 for found in layer_weights(_blank() + 1, SIZE, SHAPES, feather))


@pytest.mark.parametrize("feather", [1, 8, 40])
def test_feathering_fades_inwards_only(feather: int) -> None:
    mask = _blank()
    mask[5:45, 10:60] = 1
    hard, soft = layer_weights(mask, SIZE, SHAPES, 0), layer_weights(mask, SIZE, SHAPES, feather)
    for one, other in zip(hard, soft, strict=True):
        assert (other <= one).all()
        assert (other > 0).any()
    full = layer_weights(mask, SIZE, [SIZE], feather)[0]
    across = full[32, : SIZE[1] // 2]
    assert (across.diff() >= 0).all()
    assert across.max() == pytest.approx(min(1.0, 26 / (feather + 1)), abs=0.12)
