"""Good pictures become plain upright JPEGs of the archive's size; hostile ones end in an error of their own kind."""

import io
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crawl.pictures import Picture, PictureLimits, perceptual_hash, to_picture
from moodarchive.errors import RowError
from tests.making import encoded, opened, textured

LIMITS = PictureLimits(max_pixels=10_000_000, shortest_side=96, longest_side=200, jpeg_quality=92)
ROOT = Path(__file__).parents[2]


def _kept(served: bytes) -> tuple[Picture, Image.Image]:
    picture = to_picture(served, LIMITS)
    image = opened(picture.bytes)
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (picture.width, picture.height))
    return picture, image


def _near(image: Image.Image, at: tuple[int, int], colour: tuple[int, int, int], tolerance: int = 12) -> bool:
    found = image.convert("RGB").getpixel(at)
    assert isinstance(found, tuple)
    return all(abs(a - b) <= tolerance for a, b in zip(found, colour, strict=True))


def _refusal(served: bytes, limits: PictureLimits = LIMITS) -> str:
    with pytest.raises(RowError) as caught:
        to_picture(served, limits)
    return caught.value.kind


def png_header_of(width: int, height: int) -> bytes:
    """A small PNG that announces so many pixels, all of one colour: about a thousandth of them in bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("size", "kept"),
    [((800, 400), (200, 100)), ((400, 1200), (67, 200)), ((200, 150), (200, 150)), ((100, 97), (100, 97))],
)
def test_the_longest_side_is_respected_and_nothing_is_enlarged(size: tuple[int, int], kept: tuple[int, int]) -> None:
    served = encoded(textured(*size))
    picture, image = _kept(served)
    assert image.size == kept
    assert (picture.original_width, picture.original_height) == size
    assert (picture.original_bytes, picture.original_type) == (len(served), "JPEG")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
def test_every_kind_of_picture_looks_the_same_afterwards(kind: str) -> None:
    source = textured(160, 120, seed=3)
    picture, image = _kept(encoded(source, kind))
    assert picture.original_type == kind
    difference = np.abs(np.asarray(image, dtype=float) - np.asarray(source, dtype=float)).mean()
    assert difference < (12 if kind == "GIF" else 6)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparency_is_laid_over_white(kind: str) -> None:
    source = Image.new("RGBA", (120, 120), (255, 0, 0, 255))
    source.paste((0, 0, 0, 0), (0, 0, 60, 120))
    _, image = _kept(encoded(source, kind, lossless=True))
    assert _near(image, (20, 60), (255, 255, 255))
    assert _near(image, (100, 60), (255, 0, 0))


def test_a_transparent_palette_colour_is_white() -> None:
    source = Image.new("P", (120, 120), 1)
    source.putpalette([0, 0, 0, 0, 0, 255])
    source.paste(0, (0, 0, 60, 120))
    _, image = _kept(encoded(source, "PNG", transparency=0))
    assert _near(image, (20, 60), (255, 255, 255))
    assert _near(image, (100, 60), (0, 0, 255))


def test_a_palette_picture_is_shrunk_smoothly() -> None:
    stripes = Image.fromarray(np.tile(np.array([0, 1], dtype=np.uint8), (800, 400)))  # every other column white
    stripes.putpalette([0, 0, 0, 255, 255, 255])
    _, image = _kept(encoded(stripes, "PNG"))
    assert image.size == (200, 200)
    assert 100 < np.asarray(image).mean() < 155
    assert np.asarray(image).std() < 20, "columns were picked, not averaged"


def test_cmyk_becomes_rgb() -> None:
    _, image = _kept(encoded(Image.new("CMYK", (120, 120), (0, 255, 255, 0))))
    assert _near(image, (60, 60), (255, 0, 0), tolerance=25)


@pytest.mark.parametrize("brightest", [65535, 16384])
def test_16_bit_greys_keep_their_shades(brightest: int) -> None:
    ramp = np.tile(np.linspace(0, brightest, 160).astype(np.uint16), (120, 1))
    _, image = _kept(encoded(Image.fromarray(ramp), "PNG"))
    shades = np.asarray(image.convert("L"))[60].astype(int)
    assert shades[0] < 8
    assert abs(shades[-1] - brightest / 257) < 8
    assert abs(shades[80] - brightest / 257 / 2) < 8
    assert all(np.diff(shades) > -4)


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_of_an_animation_the_first_frame_is_kept(kind: str) -> None:
    frames = [Image.new("RGB", (120, 120), colour) for colour in ("red", "blue", "lime")]
    _, image = _kept(encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50))
    assert _near(image, (60, 60), (255, 0, 0), tolerance=20)


def _tagged_jpeg() -> bytes:
    """A picture lying on its side, left half red, with a GPS position, a maker, a comment, XMP and a profile."""
    source = Image.new("RGB", (160, 120), "blue")
    source.paste((255, 0, 0), (0, 0, 80, 120))
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the scene is at the right
    exif[0x010F] = "MAKER-OF-CAMERA"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 29: "2026:01:01"})
    return encoded(
        source, exif=exif, comment=b"PRIVATE-COMMENT", xmp=b"<x>PRIVATE-XMP</x>", icc_profile=b"PROFILE!" * 30
    )


def test_the_picture_stands_upright_and_tells_nothing_of_its_maker() -> None:
    served = _tagged_jpeg()
    assert b"PRIVATE-COMMENT" in served and b"PRIVATE-XMP" in served and b"MAKER" in served
    picture, image = _kept(served)
    assert image.size == (120, 160)
    assert _near(image, (60, 20), (255, 0, 0), tolerance=20), "the red half belongs on top"
    assert _near(image, (60, 140), (0, 0, 255), tolerance=20)
    assert not image.getexif()
    assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    for left in (b"PRIVATE", b"MAKER", b"Exif", b"PROFILE", b"2026:01:01"):
        assert left not in picture.bytes


@pytest.mark.parametrize("seed", range(5))
def test_a_smaller_worse_copy_has_nearly_the_same_hash(seed: int) -> None:
    source = textured(500, 400, seed)
    copy = encoded(source.resize((450, 360), Image.Resampling.LANCZOS), quality=80)
    one, other = to_picture(encoded(source), LIMITS).phash, to_picture(copy, LIMITS).phash
    assert (one ^ other).bit_count() <= 3
    assert (one ^ perceptual_hash(textured(500, 400, seed + 100))).bit_count() > 10


WHOLE = encoded(textured(300, 200))
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'


def _zipped() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("picture.jpg", WHOLE)
    return held.getvalue()


@pytest.mark.parametrize(
    ("served", "kind"),
    [
        (b"", "not_an_image"),
        (b"<!doctype html><title>Sign in</title>", "not_an_image"),
        (SVG, "not_an_image"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", "not_an_image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 200 200\n", "not_an_image"),
        (_zipped(), "not_an_image"),
        (WHOLE[: len(WHOLE) // 2], "truncated"),
        (encoded(textured(300, 200), "PNG")[:5000], "truncated"),
        (encoded(textured(300, 200), "PNG").replace(b"IDAT", b"IDAT\0\0\0", 1), "corrupt_image"),
        (WHOLE[:2] + bytes(5000), "not_an_image"),
        (encoded(textured(300, 200), "WEBP")[:3000], "corrupt_image"),
        (encoded(textured(300, 95)), "too_small"),
        (png_header_of(5000, 2001), "too_many_pixels"),
    ],
    ids=[
        "empty", "html", "svg", "pdf", "postscript", "zip", "half a jpeg", "half a png", "broken png", "zeros",
        "half a webp", "too small", "too large",
    ],
)  # fmt: skip
def test_hostile_bytes_have_an_error_of_their_own_kind(served: bytes, kind: str) -> None:
    assert _refusal(served) == kind


@pytest.mark.parametrize("seed", range(40))
def test_no_damage_to_a_picture_raises_anything_else(seed: int) -> None:
    random = np.random.default_rng(seed)
    kind = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")[seed % 7]
    damaged = bytearray(encoded(textured(160, 120, seed), kind))
    for at in random.integers(0, len(damaged), 20):
        damaged[at] = random.integers(0, 256)
    try:
        picture = to_picture(bytes(damaged), LIMITS)
    except RowError as error:
        assert error.kind in {"not_an_image", "corrupt_image", "truncated", "too_many_pixels", "too_small"}
    else:
        assert opened(picture.bytes).format == "JPEG"


def test_a_picture_with_a_web_page_behind_it_is_only_a_picture() -> None:
    picture, _ = _kept(WHOLE + b"<html><script>alert('polyglot')</script></html>")
    assert b"script" not in picture.bytes
    assert b"polyglot" not in picture.bytes
    assert picture.bytes == to_picture(WHOLE, LIMITS).bytes
    assert picture.sha256 != to_picture(WHOLE, LIMITS).sha256


def test_a_web_page_before_a_picture_is_no_picture() -> None:
    assert _refusal(b"<html><!--" + WHOLE) == "not_an_image"


MEASURE = """
import resource, sys
from crawl.pictures import PictureLimits, to_picture
from moodarchive.errors import RowError
from tests.making import encoded, textured
limits = PictureLimits(max_pixels=120_000_000, shortest_side=96, longest_side=768, jpeg_quality=92)
to_picture(encoded(textured(300, 200), "PNG"), limits)
bomb = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    to_picture(bomb, limits)
except RowError as error:
    print(error.kind, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_bomb_of_30000_by_30000_is_refused_before_it_takes_memory() -> None:
    bomb = png_header_of(30_000, 30_000)
    assert len(bomb) < 1_000_000
    done = subprocess.run([sys.executable, "-c", MEASURE], input=bomb, capture_output=True, check=True, cwd=ROOT)
    kind, grown_kib = done.stdout.decode().split()
    assert kind == "too_many_pixels"
    assert int(grown_kib) < 50 * 1024
