"""Whatever colours a file names become sRGB as littleCMS and the definitions of the colour spaces say."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from moodarchive.images import icc
from moodarchive.images.png import MOST_TEXT_BYTES, SIGNATURE
from moodarchive.images.rendering import open_image
from tests.making import encoded
from tests.profiles import write_cmyk_profile

FLAT = [(234, 51, 35), (117, 180, 76), (60, 90, 200), (128, 128, 128), (20, 20, 24), (250, 250, 250)]
ADOBE = icc.write_rgb_profile(icc.ADOBE_RGB, icc.ADOBE_GAMMA)
P3 = icc.write_rgb_profile(icc.DISPLAY_P3, icc.SRGB_CURVE)
PROPHOTO = icc.write_rgb_profile((0.3457, 0.3585, 0.734699, 0.265301, 0.159597, 0.840403, 0.036598, 0.000105), 1.8)
assert ADOBE and P3 and PROPHOTO


def _patches(mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", (20 * len(FLAT), 20))
    for n, colour in enumerate(FLAT):
        image.paste(colour, (20 * n, 0, 20 * n + 20, 20))
    return image.convert(mode)


def _shown(served: bytes) -> npt.NDArray[Any]:
    """The middle of each patch."""
    opened = open_image(served)
    rgb = np.asarray(opened.to_srgb(opened.load())).astype(float)
    return rgb[10, 10::20]


def _defined(colours: npt.NDArray[Any], chromaticities: icc.Chromaticities, decode: Any) -> npt.NDArray[Any]:
    """sRGB by the definitions (IEC 61966-2-1): decode, to XYZ of D65, to linear sRGB, encode; clipped."""

    def to_xyz(points: icc.Chromaticities) -> npt.NDArray[Any]:
        x, y = np.array(points[0::2]), np.array(points[1::2])
        xyz = np.stack([x / y, np.ones(4), (1 - x - y) / y])
        return xyz[:, 1:] * np.linalg.solve(xyz[:, 1:], xyz[:, 0])

    light = decode(colours / 255) @ (np.linalg.inv(to_xyz(icc.SRGB)) @ to_xyz(chromaticities)).T
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255


WRITERS = {
    "JPEG": {"quality": 100, "subsampling": 0}, "PNG": {}, "WEBP": {"lossless": True}, "TIFF": {},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(
    ("profile", "chromaticities", "decode"),
    [
        (ADOBE, icc.ADOBE_RGB, lambda v: v**icc.ADOBE_GAMMA),
        (P3, icc.DISPLAY_P3, icc.SRGB_CURVE),
    ],
    ids=["Adobe RGB", "Display P3"],
)
def test_an_embedded_profile_is_converted(kind: str, profile: bytes, chromaticities: Any, decode: Any) -> None:
    served = encoded(_patches(), kind, icc_profile=profile, **WRITERS[kind])
    expected = _defined(np.array(FLAT), chromaticities, decode)
    assert np.abs(_shown(served) - expected).max() <= {"JPEG": 3, "AVIF": 6}.get(kind, 1.6)
    assert np.abs(_shown(served) - FLAT).max() > 9


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_transparency_and_palettes_keep_the_profile(kind: str) -> None:
    with_alpha = _patches("RGBA")
    with_alpha.paste((0, 0, 0, 0), (0, 0, 20, 20))
    shown = _shown(encoded(with_alpha, kind, icc_profile=ADOBE, lossless=True))
    expected = _defined(np.array(FLAT), icc.ADOBE_RGB, lambda v: v**icc.ADOBE_GAMMA)
    assert (shown[0] == 255).all()
    assert np.abs(shown[1:] - expected[1:]).max() <= 1.6
    if kind == "PNG":
        palette = _patches().quantize(16)
        assert np.abs(_shown(encoded(palette, kind, icc_profile=ADOBE)) - expected).max() <= 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_greys_are_converted_by_profiles_of_greys_and_of_colours(kind: str) -> None:
    grey, options = _patches("L"), {"quality": 100} if kind == "JPEG" else {}
    levels = np.asarray(grey)[10, 10::20].astype(float)
    linear = icc.write_grey_profile(1.0)
    light = levels / 255
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    assert np.abs(_shown(encoded(grey, kind, icc_profile=linear, **options))[:, 0] - expected).max() <= 2
    by_colours = _shown(encoded(grey, kind, icc_profile=PROPHOTO, **options))
    light = (levels / 255) ** 1.8
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    assert np.abs(by_colours - expected[:, None]).max() <= 2


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks_are_converted_by_their_profile(kind: str) -> None:
    inks = Image.new("CMYK", (120, 20), (0, 200, 0, 0))
    profile = write_cmyk_profile()
    served = encoded(inks, kind, icc_profile=profile, **({"quality": 100} if kind == "JPEG" else {}))
    srgb = ImageCms.createProfile("sRGB")
    best = ImageCms.profileToProfile(inks, ImageCms.ImageCmsProfile(io.BytesIO(profile)), srgb, outputMode="RGB")
    assert best is not None
    assert np.abs(_shown(served) - np.asarray(best)[10, 10::20].astype(float)).max() <= 3
    assert np.abs(_shown(served) - np.asarray(inks.convert("RGB"))[10, 10::20]).max() > 15


@pytest.mark.parametrize("said", ["interop", "color space"])
def test_exif_may_say_adobe_rgb_without_a_profile(said: str) -> None:
    exif = Image.Exif()
    if said == "interop":
        exif.get_ifd(0x8769)[0xA001] = 65535
        exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    else:
        exif.get_ifd(0x8769)[0xA001] = 2
    served = encoded(_patches(), exif=exif, quality=100, subsampling=0)
    expected = _defined(np.array(FLAT), icc.ADOBE_RGB, lambda v: v**icc.ADOBE_GAMMA)
    assert np.abs(_shown(served) - expected).max() <= 3
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    by_profile = encoded(_patches(), exif=exif, quality=100, subsampling=0, icc_profile=srgb)
    assert np.abs(_shown(by_profile) - FLAT).max() <= 2, "an embedded profile goes before EXIF"


@pytest.mark.parametrize(("space", "index"), [(1, "R98"), (65535, None), (None, None)])
def test_what_says_srgb_or_nothing_is_untouched(space: int | None, index: str | None) -> None:
    exif = Image.Exif()
    if space:
        exif.get_ifd(0x8769)[0xA001] = space
    if index:
        exif.get_ifd(0x8769)[0xA005] = {1: index}
    opened = open_image(encoded(_patches(), exif=exif))
    assert opened.conversion("RGB") is None


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _with_chunks(*chunks: bytes, after: bool = False) -> bytes:
    plain = encoded(_patches(), "PNG")
    at = len(plain) - 12 if after else 33
    return plain[:at] + b"".join(chunks) + plain[at:]


def _gama(gamma: float) -> bytes:
    return _chunk(b"gAMA", struct.pack(">I", round(gamma * 100_000)))


def _chrm(chromaticities: icc.Chromaticities) -> bytes:
    return _chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in chromaticities)))


SRGB_CHUNK = _chunk(b"sRGB", b"\0")
ADOBE_CHUNK = _chunk(b"iCCP", b"a\0\0" + zlib.compress(ADOBE))


@pytest.mark.parametrize(
    ("chunks", "chromaticities", "decode"),
    [
        ((_gama(1.0),), icc.SRGB, lambda v: v),
        ((_gama(1 / 1.8),), icc.SRGB, lambda v: v**1.8),
        ((_gama(1 / 2.2), _chrm(icc.ADOBE_RGB)), icc.ADOBE_RGB, lambda v: v**2.2),
        ((_chrm(icc.DISPLAY_P3),), icc.DISPLAY_P3, icc.SRGB_CURVE),
        ((_chunk(b"cICP", bytes((12, 13, 0, 1))),), icc.DISPLAY_P3, icc.SRGB_CURVE),
        ((_chunk(b"cICP", bytes((9, 8, 0, 1))),), icc.CICP_PRIMARIES[9], lambda v: v),
        ((_chunk(b"cICP", bytes((12, 13, 0, 1))), ADOBE_CHUNK, _gama(1.0)), icc.DISPLAY_P3, icc.SRGB_CURVE),
        ((ADOBE_CHUNK, _gama(1.0)), icc.ADOBE_RGB, lambda v: v**icc.ADOBE_GAMMA),
        ((_chunk(b"cICP", bytes((2, 2, 0, 1))), ADOBE_CHUNK), icc.ADOBE_RGB, lambda v: v**icc.ADOBE_GAMMA),
    ],
    ids=["linear", "1.8", "gAMA cHRM", "cHRM", "cICP P3", "cICP 2020", "cICP first", "iCCP second", "cICP unspecified"],
)
def test_a_png_says_its_colours_in_its_chunks(chunks: tuple[bytes, ...], chromaticities: Any, decode: Any) -> None:
    expected = _defined(np.array(FLAT), chromaticities, decode)
    assert np.abs(_shown(_with_chunks(*chunks)) - expected).max() <= 2


@pytest.mark.parametrize(
    "chunks",
    [
        (SRGB_CHUNK, _gama(1.0)),
        (_gama(0.45455), _chrm(icc.SRGB)),
        (_gama(0),),
        (_gama(20_000),),
        (_chrm((0,) * 8),),
        (_chrm((0.3, 0.3) * 4),),
        (_chunk(b"cHRM", b"short"),),
        (_chunk(b"cICP", b""),),
        (_chunk(b"iCCP", b"broken"),),
        (_chunk(b"iCCP", b"a\0\0" + zlib.compress(b"no profile" * 100)),),
        (_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(64 << 20))),),
        (_chunk(b"iCCP", b"a\0\0" + zlib.compress(icc.write_grey_profile(1.0))),),
        (_chunk(b"tEXt", b"a\0" + b"x" * (2 << 20)),),
        (_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(64 << 20))),),
        (_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b" " * (3 << 20))),),
        tuple(_chunk(b"tEXt", b"a\0" + b"x" * (1 << 19)) for _ in range(200)),
    ],
    ids=[
        "sRGB first", "usual sRGB", "gamma 0", "gamma 20000", "no colours", "one colour", "short cHRM", "empty cICP",
        "broken iCCP", "no profile", "profile bomb", "grey profile", "long text", "text bomb", "long XMP", "many texts",
    ],
)  # fmt: skip
@pytest.mark.parametrize("after", [False, True], ids=["before the pixels", "after"])
def test_a_sound_png_is_taken_as_it_is_whatever_else_it_says(chunks: tuple[bytes, ...], after: bool) -> None:
    assert np.array_equal(_shown(_with_chunks(*chunks, after=after)), np.array(FLAT, float))


def test_a_text_that_is_short_enough_is_left_to_the_decoder() -> None:
    kept = _chunk(b"tEXt", b"a\0" + b"x" * (MOST_TEXT_BYTES - 2))
    assert len(open_image(_with_chunks(kept)).image.info["a"]) == MOST_TEXT_BYTES - 2
    assert open_image(SIGNATURE + _with_chunks(kept)[8:]).image.size == (120, 20)


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_profile_ends_as_its_picture_without_one_or_as_a_conversion(seed: int) -> None:
    random = np.random.default_rng(seed)
    profile = bytearray((ADOBE, P3, write_cmyk_profile(), icc.write_grey_profile(2.2))[seed % 4])
    for at in random.integers(0, len(profile), 12):
        profile[at] = random.integers(0, 256)
    cut = bytes(profile[: random.integers(1, len(profile))] if seed % 3 == 0 else profile)
    mode = ("RGB", "RGB", "CMYK", "L")[seed % 4]
    kind = "JPEG" if mode == "CMYK" else "PNG"
    assert _shown(encoded(_patches(mode), kind, icc_profile=cut)).shape == (len(FLAT), 3)
