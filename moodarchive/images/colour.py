"""Every colour space that a file names becomes sRGB; what a file leaves unsaid, or says illegibly, counts as sRGB."""

import io
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms

from moodarchive.images.icc import (
    ADOBE_GAMMA,
    ADOBE_RGB,
    CICP_CURVES,
    CICP_PRIMARIES,
    SRGB,
    SRGB_CURVE,
    write_grey_profile,
    write_rgb_profile,
)
from moodarchive.images.png import PngColour

MOST_PROFILE_BYTES = 4 << 20
"""Profiles of printing presses have up to 3 MB; a longer one is not read."""
_SPACES = {"RGB": ("RGB",), "L": ("GRAY", "RGB"), "CMYK": ("CMYK",), "LAB": ("LAB",)}
"""Mode → the colour spaces of profiles that can say what its numbers mean."""
_CLASSES = ("scnr", "mntr", "prtr", "spac")
_SAME_LEVELS = 2
"""Profiles that move no colour by more than so many of 256 levels are sRGB by another name."""
_GAMMAS = (0.2, 3.0)
_SRGB_GAMMA, _GAMMA_TOLERANCE, _XY_TOLERANCE = 0.45455, 0.01, 0.002


@dataclass(frozen=True)
class Conversion:
    """What turns the numbers of pictures in ``mode`` into sRGB. Usable by several threads at once."""

    mode: str
    transform: Any

    def apply(self, image: Image.Image) -> Image.Image:
        """The RGB picture; ``image`` is in L, RGB, CMYK or LAB."""
        converted = ImageCms.applyTransform(
            image if image.mode == self.mode else image.convert(self.mode), self.transform
        )
        assert converted is not None
        return converted


def find_conversion(image: Image.Image, served: bytes, png: PngColour | None, mode: str) -> Conversion | None:
    """What the file's colours need to become sRGB; None when they are sRGB, or the file does not say.

    ``mode`` is that in which the pixels will be converted: L, RGB, CMYK or LAB. An embedded profile goes before EXIF,
    in a PNG the chunks go as its specification orders them: cICP, iCCP, sRGB, gAMA with cHRM. A profile that is broken,
    too long, of another colour space than the pixels or no device's is not heeded, as browsers do.
    """
    if png is not None:
        profile = _png_profile(png, mode)
    else:
        profile = _usable(image.info.get("icc_profile"), mode)
        if profile is None and image.format == "AVIF" and (codes := _avif_codes(served)):
            profile = _cicp_profile(*codes, mode)
    if profile is None and mode == "RGB" and not (png and png.is_srgb) and _says_adobe_rgb(image):
        profile = write_rgb_profile(ADOBE_RGB, ADOBE_GAMMA)
    return _conversion(profile, mode) if profile else None


def _png_profile(png: PngColour, mode: str) -> bytes | None:
    profile = _cicp_profile(*png.cicp, mode) if png.cicp else None
    profile = profile or _usable(png.profile, mode)
    return profile if profile or png.is_srgb else _gamma_profile(png, mode)


def _usable(profile: object, mode: str) -> bytes | None:
    if not isinstance(profile, bytes) or not 0 < len(profile) <= MOST_PROFILE_BYTES:
        return None
    return profile if _checked_space(profile) in _SPACES.get(mode, ()) else None


@lru_cache(maxsize=64)
def _checked_space(profile: bytes) -> str | None:
    """The colour space of a device's profile that littleCMS can read; None for every other."""
    try:
        core = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
        return core.xcolor_space.strip().upper() if core.device_class.strip() in _CLASSES else None
    except Exception:  # noqa: BLE001  hostile bytes
        return None


@lru_cache(maxsize=64)
def _conversion(profile: bytes, mode: str) -> Conversion | None:
    """None for sRGB under any name, and for a profile without what a conversion needs."""
    space = _checked_space(profile)
    of_pixels = "RGB" if space == "RGB" else mode
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), of_pixels, "RGB"
        )
        conversion = Conversion(of_pixels, transform)
        if of_pixels in ("RGB", "L"):
            probe = _probe(of_pixels)
            moved = np.abs(np.asarray(conversion.apply(probe), int) - np.asarray(probe.convert("RGB"), int))
            if moved.max() <= _SAME_LEVELS:
                return None
    except Exception:  # noqa: BLE001  hostile bytes
        return None
    return conversion


def _probe(mode: str) -> Image.Image:
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[np.newaxis])
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    lattice = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    return Image.fromarray(np.ascontiguousarray(lattice.reshape(27, 27, 3)))


def _cicp_profile(primaries: int, transfer: int, mode: str) -> bytes | None:
    """None for codes that name no colour space here: they say nothing."""
    if transfer not in CICP_CURVES:
        return None
    if mode == "L":
        return write_grey_profile(CICP_CURVES[transfer])
    if mode != "RGB" or primaries not in CICP_PRIMARIES:
        return None
    if primaries == 1 and transfer in (1, 6, 13, 14, 15):  # video of the sRGB primaries is shown as sRGB everywhere
        return write_rgb_profile(SRGB, SRGB_CURVE)
    return write_rgb_profile(CICP_PRIMARIES[primaries], CICP_CURVES[transfer])


def _gamma_profile(png: PngColour, mode: str) -> bytes | None:
    """gAMA and cHRM; those that writers add to sRGB pictures for old readers mean sRGB."""
    chromaticities = png.chromaticities or SRGB
    near_srgb = all(abs(a - b) <= _XY_TOLERANCE for a, b in zip(chromaticities, SRGB, strict=True))
    gamma = png.gamma if png.gamma is not None and _GAMMAS[0] <= png.gamma <= _GAMMAS[1] else None
    like_srgb = gamma is None or abs(gamma - _SRGB_GAMMA) <= _GAMMA_TOLERANCE
    if like_srgb and (near_srgb or mode == "L"):
        return None
    curve = SRGB_CURVE if gamma is None else 1 / gamma
    if mode == "L":
        return write_grey_profile(curve)
    return write_rgb_profile(chromaticities, curve) if mode == "RGB" else None


def _says_adobe_rgb(image: Image.Image) -> bool:
    """DCF's way to say so without a profile: interoperability R03; some writers put a 2 into ColorSpace."""
    try:
        exif = image.getexif()
        if exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace) == 2:
            return True
        index = exif.get_ifd(ExifTags.IFD.Interop).get(1)
    except Exception:  # noqa: BLE001  broken metadata make no broken picture
        return False
    text = index.decode("latin-1") if isinstance(index, bytes) else str(index)
    return text.strip("\0 ").upper() == "R03"


def _avif_codes(served: bytes) -> tuple[int, int] | None:
    """Primaries and transfer of the first colr box of kind nclx, from the metadata at the file's head."""
    at = served.find(b"colrnclx", 0, 1 << 16)
    if not 0 <= at <= len(served) - 12:
        return None
    primaries, transfer = struct.unpack(">HH", served[at + 8 : at + 12])
    return primaries, transfer
