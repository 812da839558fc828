"""Good pictures become plain upright JPEGs of the archive's size; hostile ones end in an error of their own kind."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from crawl.images.decode import Picture, PictureLimits, to_picture
from crawl.images.phash import perceptual_hash
from moodarchive.errors import RowError
from moodarchive.images import icc
from tests.crawl.hostile_pictures import HOSTILE_PICTURES, PADDED_PICTURES
from tests.making import encoded, opened, textured
from tests.tiff import write_tiff

LIMITS = PictureLimits(max_pixels=10_000_000, shortest_side=96, longest_side=200, jpeg_quality=92)
ROOT = Path(__file__).parents[3]
WHOLE = encoded(textured(300, 200))


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


@pytest.mark.parametrize(
    ("size", "kept"),
    [((800, 400), (200, 100)), ((400, 800), (100, 200)), ((200, 150), (200, 150)), ((100, 97), (100, 97))],
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


@pytest.mark.parametrize(("width", "height"), [(3000, 120), (12_000, 188), (200, 9_000), (420, 200)])
def test_the_shortest_side_counts_in_what_is_kept_too(width: int, height: int) -> None:
    assert _refusal(encoded(Image.new("RGB", (width, height)))) == "too_small"


@pytest.mark.parametrize("size", [(160, 120), (200, 200), (1000, 800), (300, 200)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_what_is_stored_is_srgb_at_every_size(kind: str, size: tuple[int, int]) -> None:
    adobe = icc.write_rgb_profile(icc.ADOBE_RGB, icc.ADOBE_GAMMA)
    grey = icc.write_grey_profile(1.0)
    _, image = _kept(encoded(Image.new("RGB", size, (60, 90, 200)), kind, icc_profile=adobe))
    assert _near(image, (50, 50), (36, 90, 204), tolerance=3)
    _, image = _kept(encoded(Image.new("L", size, 55), kind, icc_profile=grey))
    assert _near(image, (50, 50), (127, 127, 127), tolerance=3)


@pytest.mark.parametrize("dtype", ["u2", "i2", "u4", "f4"])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("photometric", [0, 1])
def test_deep_greys_are_shrunk_by_their_values(dtype: str, big_endian: bool, photometric: int) -> None:
    white = {"u2": 65535, "i2": 32767, "u4": 2**32 - 1, "f4": 1.0}[dtype]
    ramp = (np.tile(np.linspace(0, 1, 900), (600, 1)) * white).astype(dtype)
    _, image = _kept(write_tiff(ramp, big_endian=big_endian, photometric=photometric))
    shades = np.asarray(image.convert("L"))[60].astype(float)
    expected = np.linspace(0, 255, len(shades))
    assert np.abs(shades - (expected if photometric else expected[::-1])).max() < 4


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


def _lying(turn: int) -> bytes:
    """An upright picture, red above, green at the left of its lower half, stored as EXIF's ``turn`` says."""
    upright = Image.new("RGB", (160, 120), "blue")
    upright.paste((255, 0, 0), (0, 0, 160, 60))
    upright.paste((0, 255, 0), (0, 60, 80, 120))
    how = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = turn
    return encoded(upright.transpose(how[turn]) if turn in how else upright, exif=exif, subsampling=0)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("longest_side", [120, 300])
def test_every_way_to_lie_is_turned_upright(turn: int, longest_side: int) -> None:
    picture = to_picture(_lying(turn), replace(LIMITS, longest_side=longest_side, shortest_side=64))
    image = opened(picture.bytes)
    assert image.width > image.height
    x, y = image.width // 4, image.height // 4
    assert _near(image, (x, y), (255, 0, 0), 20) and _near(image, (3 * x, y), (255, 0, 0), 20)
    assert _near(image, (x, 3 * y), (0, 255, 0), 20) and _near(image, (3 * x, 3 * y), (0, 0, 255), 20)


def _detailed(width: int, height: int) -> Image.Image:
    """Structure at every scale, as photographs have it."""
    random, total = np.random.default_rng(5), np.zeros((height, width, 3))
    for cells in (6, 24, 96, 384):
        grid = random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        shown = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(shown, dtype=float) / cells**0.7
    total -= total.min()
    return Image.fromarray((total / total.max() * 255).astype(np.uint8))


@pytest.mark.parametrize("width", [700, 1000, 1500, 2100, 3300, 5000])
def test_scaled_decoding_looks_like_full_decoding_and_lanczos(width: int) -> None:
    served = encoded(_detailed(width, width // 3), quality=92)
    kept = opened(to_picture(served, replace(LIMITS, max_pixels=10**8, longest_side=512)).bytes)
    best = opened(served).resize(kept.size, Image.Resampling.LANCZOS)
    error = np.mean((np.asarray(kept, dtype=float) - np.asarray(best, dtype=float)) ** 2)
    assert 10 * np.log10(255**2 / error) >= 35


@pytest.mark.parametrize("width", [330, 360, 399, 420])
def test_lines_too_fine_for_the_new_size_are_evened_out(width: int) -> None:
    lines = np.tile(np.array([0, 255], dtype=np.uint8), (width, width // 2 + 1))[:, :width]
    shown = np.asarray(opened(to_picture(encoded(Image.fromarray(lines), quality=95), LIMITS).bytes).convert("L"))
    assert shown.shape == (200, 200)
    assert shown.std() < lines.std() / 3


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"optimize": True, "quality": 60}])
def test_a_small_plain_jpeg_keeps_its_coefficients_bit_for_bit(options: dict[str, Any]) -> None:
    source = textured(180, 130, seed=8)
    bare = encoded(source, **options)
    exif = Image.Exif()
    exif[0x010F] = "MAKER"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0)})
    dressed = encoded(
        source,
        exif=exif,
        comment=b"MAKER",
        xmp=b"<x>MAKER</x>",
        icc_profile=b"MAKER!!!" * 9000,
        dpi=(300, 300),
        **options,
    )
    srgb = encoded(source, icc_profile=icc.write_rgb_profile(icc.SRGB, icc.SRGB_CURVE), **options)
    picture = to_picture(dressed + b"MAKER" * 1000, LIMITS)
    assert picture.bytes == to_picture(bare, LIMITS).bytes == to_picture(srgb, LIMITS).bytes
    assert b"MAKER" not in picture.bytes and len(picture.bytes) <= len(bare)
    assert np.array_equal(np.asarray(opened(picture.bytes)), np.asarray(opened(bare)))


def _hidden_in_a_table() -> bytes:
    table = b"\xff\xdb" + (2 + 65 * 100).to_bytes(2, "big") + (b"\x03" + b"SECRET!!" * 8) * 100
    return WHOLE[:2] + table + WHOLE[2:]


@pytest.mark.parametrize(
    "served",
    [
        encoded(textured(150, 120)).replace(b"\xff\xd9", b"SECRET!!" * 50 + b"\xff\xd9"),
        _hidden_in_a_table(),
        encoded(textured(150, 120).convert("L"), comment=b"SECRET!!"),
        encoded(textured(150, 120).convert("CMYK"), comment=b"SECRET!!"),
        encoded(textured(150, 120), keep_rgb=True, comment=b"SECRET!!"),
        encoded(textured(400, 300), comment=b"SECRET!!"),
    ],
    ids=["before the end", "in unused tables", "grey", "cmyk", "stored as rgb", "large"],
)
def test_what_is_not_plain_is_encoded_anew(served: bytes) -> None:
    assert b"SECRET!!" in served
    picture, image = _kept(served)
    assert b"SECRET!!" not in picture.bytes
    assert image.layers == 3  # type: ignore[attr-defined]


def test_scan_markers_in_metadata_are_no_scans() -> None:
    whole = encoded(textured(180, 130), progressive=True, comment=b"\xff\xda" * 500)
    assert to_picture(whole, LIMITS).width == 180


@pytest.mark.parametrize("seed", range(5))
def test_a_smaller_worse_copy_has_nearly_the_same_hash(seed: int) -> None:
    source = textured(500, 400, seed)
    copy = encoded(source.resize((450, 360), Image.Resampling.LANCZOS), quality=80)
    one, other = to_picture(encoded(source), LIMITS).phash, to_picture(copy, LIMITS).phash
    assert (one ^ other).bit_count() <= 3
    assert (one ^ perceptual_hash(np.asarray(textured(500, 400, seed + 100)))).bit_count() > 10


@pytest.mark.parametrize("path", HOSTILE_PICTURES)
def test_hostile_bytes_have_an_error_of_their_own_kind(path: str) -> None:
    served, kind = HOSTILE_PICTURES[path]
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
import resource, time
from crawl.images.decode import PictureLimits, to_picture
from moodarchive.errors import RowError
from moodarchive.images import icc
from tests.crawl.hostile_pictures import HOSTILE_PICTURES, PADDED_PICTURES
from tests.making import encoded, textured
limits = PictureLimits(max_pixels=120_000_000, shortest_side=96, longest_side=768, jpeg_quality=92)
for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF"):
    to_picture(encoded(textured(300, 200), kind), limits)
padded = {path: (served, "taken") for path, served in PADDED_PICTURES.items()}
for path, (served, kind) in {**HOSTILE_PICTURES, **padded}.items():
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    end = "taken"
    try:
        to_picture(served, limits)
    except RowError as error:
        end = error.kind
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(path, end == kind, grown, time.process_time() - began)
"""


def test_no_hostile_picture_takes_fifty_megabytes_or_a_second() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, check=True, cwd=ROOT, text=True)
    measured = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in measured] == [*HOSTILE_PICTURES, *PADDED_PICTURES]
    assert len(HOSTILE_PICTURES["/bomb.png"][0]) < 1_000_000
    for path, is_its_kind, grown_kib, seconds in measured:
        assert is_its_kind == "True", path
        assert int(grown_kib) < 50 * 1024, path
        assert float(seconds) < 1, path
