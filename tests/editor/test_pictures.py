"""Whatever a person hands in becomes an upright RGB picture, or a message that says why not."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from editor.pictures import read_mask, read_picture, to_picture
from moodarchive.errors import PictureError
from moodarchive.images import icc
from tests.tiff import write_tiff


def _file(image: Image.Image, kind: str, **options: object) -> bytes:
    held = io.BytesIO()
    image.save(held, kind, **options)
    return held.getvalue()


def _left_red(mode: str = "RGB", size: tuple[int, int] = (80, 40)) -> Image.Image:
    image = Image.new("RGB", size, "blue")
    image.paste("red", (0, 0, size[0] // 2, size[1]))
    return image.convert(mode)


def test_orientation_is_applied_and_leaves_no_metadata() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    exif[0x010E] = "my house"
    found = to_picture(_file(_left_red(), "JPEG", exif=exif), "a.jpg").image
    assert found.size == (40, 80) and not found.getexif() and not found.info
    top = found.getpixel((20, 5))
    assert isinstance(top, tuple) and top[0] > 200 and top[2] < 60


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "PNG"), ("1", "PNG"), ("P", "GIF"), ("CMYK", "JPEG"), ("RGBA", "WEBP"), ("RGB", "TIFF")]
)
def test_every_mode_becomes_rgb_of_like_colours(mode: str, kind: str) -> None:
    found = to_picture(_file(_left_red(mode), kind), f"a.{kind}").image
    assert found.mode == "RGB" and found.size == (80, 40)
    expected = np.asarray(_left_red("L" if mode in ("L", "1") else "RGB").convert("RGB"), float)
    if mode != "1":
        assert np.abs(np.asarray(found, float)[:, 4:36] - expected[:, 4:36]).mean() < 12


def test_sixteen_bit_greys_keep_their_tones() -> None:
    ramp = np.linspace(0, 65535, 80, dtype=np.uint16)[None].repeat(40, 0)
    found = to_picture(_file(Image.fromarray(ramp), "PNG"), "grey.png")
    row = np.asarray(found.image)[0, :, 0].astype(int)
    assert row[0] == 0 and row[-1] == 255 and abs(row[40] - 129) < 3
    assert found.notes == ("16 bits a channel became 8",)


def test_transparency_stands_on_white_and_is_told() -> None:
    found = to_picture(_file(Image.new("RGBA", (64, 64), (0, 0, 0, 0)), "PNG"), "a.png")
    assert found.image.getpixel((5, 5)) == (255, 255, 255) and "white" in found.notes[0]


def test_an_embedded_profile_is_heeded() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    plain, odd = _left_red(), _file(_left_red(), "PNG", icc_profile=lab)
    # a profile of another colour space than the pixels' changes nothing
    assert np.array_equal(np.asarray(to_picture(odd, "a.png").image), np.asarray(plain))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    near = np.asarray(to_picture(_file(plain, "PNG", icc_profile=srgb), "a.png").image, int)
    assert np.abs(near - np.asarray(plain, int)).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_picture_to_be_edited_is_srgb(kind: str) -> None:
    adobe = icc.write_rgb_profile(icc.ADOBE_RGB, icc.ADOBE_GAMMA)
    shown = to_picture(_file(Image.new("RGB", (80, 40), (60, 90, 200)), kind, icc_profile=adobe), "a").image
    assert np.abs(np.asarray(shown, int)[20, 20] - (36, 90, 204)).max() <= 3


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize(("dtype", "white"), [("u2", 65535), ("f4", 1.0)])
def test_deep_greys_of_either_byte_order_keep_their_tones(dtype: str, white: float, big_endian: bool) -> None:
    ramp = (np.tile(np.linspace(0, 1, 80), (40, 1)) * white).astype(dtype)
    row = np.asarray(to_picture(write_tiff(ramp, big_endian=big_endian), "a.tif").image)[0, :, 0].astype(float)
    assert np.abs(row - np.linspace(0, 255, 80)).max() <= 1.01


def _bomb() -> bytes:
    """A PNG whose header promises 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


_FRAMES = [Image.new("RGB", (64, 64), colour) for colour in ("red", "green", "blue")]


@pytest.mark.parametrize(
    ("served", "says"),
    [
        (b"", "no picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture"),
        (_bomb(), "more than 100,000,000 pixels"),
        (_file(_left_red(size=(640, 480)), "JPEG")[:2_000], "damaged"),
        (_file(_left_red(size=(640, 480)), "PNG")[:300], "damaged"),
        (_file(_FRAMES[0], "GIF", save_all=True, append_images=_FRAMES[1:]), "3 pictures or frames"),
        (_file(_FRAMES[0], "TIFF", save_all=True, append_images=_FRAMES[1:]), "3 pictures or frames"),
        (_file(Image.new("RGB", (8, 8)), "PNG"), "8 x 8"),
        (_file(Image.new("RGB", (1000, 40)), "PNG"), "a strip"),
        (_file(_left_red(), "JPEG", progressive=True) + b"\xff\xda" * 200, "more than 100 scans"),
    ],
    ids=["empty", "svg", "bomb", "cut-jpeg", "cut-png", "animated", "pages", "tiny", "strip", "scans"],
)
def test_what_cannot_be_edited_is_told_with_its_name(served: bytes, says: str) -> None:
    with pytest.raises(PictureError) as told:
        to_picture(served, "holiday.png")
    assert says in str(told.value) and "holiday.png" in str(told.value)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "absent.png", tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(PictureError, match=str(path)):
            read_picture(path)


def test_a_mask_takes_the_pictures_size_and_its_opacity_counts(tmp_path: Path) -> None:
    grey = Image.new("L", (80, 40))
    grey.paste(255, (0, 0, 40, 40))
    grey.save(tmp_path / "grey.png")
    drawn = Image.merge("RGBA", (*[Image.new("L", (80, 40), 90)] * 3, grey))
    drawn.save(tmp_path / "drawn.png")
    for name in ("grey.png", "drawn.png"):
        mask = read_mask(tmp_path / name, (160, 80))
        assert mask.shape == (80, 160) and mask.dtype == np.float32
        assert mask[:, :78].min() == 1 and mask[:, 82:].max() == 0
    with pytest.raises(PictureError, match="80 x 40"):
        read_mask(tmp_path / "grey.png", (100, 100))
