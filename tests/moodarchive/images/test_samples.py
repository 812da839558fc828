"""Greys of every depth, byte order and sense become the eight bits that arithmetic on their samples gives."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from moodarchive.images.rendering import open_image
from tests.making import encoded
from tests.tiff import write_tiff

SIZE = (40, 256)


def _ramp(dtype: str, white: float) -> npt.NDArray[Any]:
    """Black at the left, white at the right, with the top rows in steps of their own."""
    line = np.linspace(0, 1, SIZE[1])
    shades = np.tile(line, (SIZE[0], 1))
    shades[:8] = np.random.default_rng(1).random((8, SIZE[1]))
    scaled = shades * white
    return scaled.astype(dtype) if np.dtype(dtype).kind == "f" else scaled.round().astype(dtype)


def _rendered(served: bytes) -> npt.NDArray[np.int64]:
    opened = open_image(served)
    rgb = np.asarray(opened.to_srgb(opened.load())).astype(int)
    assert (rgb == rgb[:, :, :1]).all()
    return rgb[:, :, 0]


DEPTHS = [
    ("u1", 255), ("u2", 65535), ("u4", 2**32 - 1), ("u4", 65535), ("u4", 255), ("i2", 32767), ("i4", 2**31 - 1),
    ("i4", 255), ("f4", 1.0), ("f4", 255.0), ("f4", 65535.0), ("f8", 1.0), ("f8", 255.0),
]  # fmt: skip


@pytest.mark.parametrize("deflate", [False, True], ids=["raw", "deflate"])
@pytest.mark.parametrize("photometric", [0, 1], ids=["white is zero", "black is zero"])
@pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
@pytest.mark.parametrize(("dtype", "white"), DEPTHS, ids=str)
def test_grey_tiffs_are_read_as_their_samples_say(
    dtype: str, white: float, big_endian: bool, photometric: int, deflate: bool
) -> None:
    samples = _ramp(dtype, white)
    shown = _rendered(write_tiff(samples, big_endian=big_endian, photometric=photometric, deflate=deflate))
    expected = samples.astype(float) / white * 255
    expected = 255 - expected if photometric == 0 else expected
    assert np.abs(shown - expected).max() <= 1.01


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize(("dtype", "photometric", "channels"), [("u1", 2, 3), ("u2", 2, 3), ("u1", 5, 4), ("u2", 5, 4)])
def test_colour_tiffs_are_read_as_their_samples_say(
    dtype: str, photometric: int, channels: int, big_endian: bool, deflate: bool
) -> None:
    white = 255 if dtype == "u1" else 65535
    samples = np.stack([np.roll(_ramp(dtype, white), 50 * n, axis=1) for n in range(channels)], axis=-1)
    opened = open_image(write_tiff(samples, big_endian=big_endian, photometric=photometric, deflate=deflate))
    shown = np.asarray(opened.load()).astype(int)
    assert np.abs(shown - samples.astype(float) / white * 255).max() <= 1.01


@pytest.mark.parametrize("bits", [8, 16])
def test_what_is_transparent_in_a_grey_png_is_white(bits: int) -> None:
    values = np.full((100, 100), 40, np.uint8 if bits == 8 else np.uint16)
    values[:, :50] = 90
    shown = _rendered(encoded(Image.fromarray(values), "PNG", transparency=90))
    assert shown[5, 5] == 255 and shown[5, 95] == (40 if bits == 8 else 0)


def test_floats_that_are_no_numbers_are_black_and_what_overshoots_is_clipped() -> None:
    samples = _ramp("f4", 1.0)
    samples[20] = np.nan
    samples[21], samples[22], samples[23] = np.inf, -np.inf, 1.2
    shown = _rendered(write_tiff(samples, big_endian=True))
    assert (shown[20] == 0).all() and (shown[21] == 255).all() and (shown[22] == 0).all() and (shown[23] == 255).all()
    assert abs(int(shown[30, 128]) - 128) <= 1


def test_greys_of_twelve_bits_reach_white() -> None:
    # two samples in three bytes, as TIFF packs them
    served = write_tiff(np.full((1, 3), 0xFF, "u1"), big_endian=False)
    twelve = served.replace(b"\x02\x01\x03\x00\x01\x00\x00\x00\x08\x00", b"\x02\x01\x03\x00\x01\x00\x00\x00\x0c\x00")
    twelve = twelve.replace(b"\x00\x01\x03\x00\x01\x00\x00\x00\x03\x00", b"\x00\x01\x03\x00\x01\x00\x00\x00\x02\x00")
    assert (_rendered(twelve) == 255).all()
