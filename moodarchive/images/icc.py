"""Writes small ICC profiles for what files say in other words: chromaticities, gamma, code points of ITU-T H.273."""

import struct
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Curve = npt.NDArray[np.float64]
Chromaticities = tuple[float, float, float, float, float, float, float, float]
"""x and y of white, red, green and blue, in the order of PNG's cHRM."""

_D65 = (0.3127, 0.3290)
SRGB: Chromaticities = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
ADOBE_RGB: Chromaticities = (*_D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
DISPLAY_P3: Chromaticities = (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
ADOBE_GAMMA = 563 / 256

CICP_PRIMARIES: dict[int, Chromaticities] = {
    1: SRGB,
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (0.310, 0.316, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: DISPLAY_P3,
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
"""Table 2 of ITU-T H.273, without 2 (unspecified) and 10 (XYZ)."""
_POINTS = 4096
_WHITE_NITS = 203.0
"""Reference white of HDR signals (ITU-R BT.2408): what is brighter is clipped."""
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50 = np.array([0.9642, 1.0, 0.8249])


def _decode_srgb(signal: Curve) -> Curve:
    light: Curve = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    return light


def _decode_bt709(signal: Curve) -> Curve:
    light: Curve = np.where(signal < 0.081, signal / 4.5, ((signal + 0.099) / 1.099) ** (1 / 0.45))
    return light


def _decode_pq(signal: Curve) -> Curve:
    """SMPTE ST 2084, relative to the reference white."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = signal ** (1 / m2)
    nits = 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    light: Curve = np.minimum(nits / _WHITE_NITS, 1.0)
    return light


def _decode_hlg(signal: Curve) -> Curve:
    """ARIB STD-B67; the reference white is at 75% of the signal."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    white = (np.exp((0.75 - c) / a) + b) / 12
    light: Curve = np.minimum(scene / white, 1.0)
    return light


CICP_CURVES: dict[int, float | Callable[[Curve], Curve]] = {
    1: _decode_bt709,
    4: 2.2,
    5: 2.8,
    6: _decode_bt709,
    8: 1.0,
    13: _decode_srgb,
    14: _decode_bt709,
    15: _decode_bt709,
    16: _decode_pq,
    17: 2.6,
    18: _decode_hlg,
}
"""Table 3 of ITU-T H.273: a gamma, or what turns a signal (0 to 1) into light (0 to 1)."""
SRGB_CURVE = _decode_srgb


def write_rgb_profile(chromaticities: Chromaticities, curve: float | Callable[[Curve], Curve]) -> bytes | None:
    """A matrix profile; None where the chromaticities span no colour space."""
    matrix = _to_d50(chromaticities)
    if matrix is None:
        return None
    tags = {
        name: b"XYZ " + bytes(4) + _fixed(column)
        for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), matrix.T, strict=True)
    }
    shape = _curve_tag(curve)
    return _write(
        b"RGB ",
        {b"wtpt": b"XYZ " + bytes(4) + _fixed(_D50), **tags, **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), shape)},
    )


def write_grey_profile(curve: float | Callable[[Curve], Curve]) -> bytes:
    """A profile of greys."""
    return _write(b"GRAY", {b"kTRC": _curve_tag(curve)})


def _to_d50(chromaticities: Chromaticities) -> Curve | None:
    """From linear RGB to XYZ of the profile connection space, [3, 3]; None without an inverse."""
    x, y = np.array(chromaticities[0::2]), np.array(chromaticities[1::2])
    if (y <= 0).any() or (x < 0).any() or (x + y > 1.2).any():
        return None
    xyz = np.stack([x / y, np.ones(4), (1 - x - y) / y])  # columns: white, red, green, blue
    try:
        scale = np.linalg.solve(xyz[:, 1:], xyz[:, 0])
    except np.linalg.LinAlgError:
        return None
    cone_white = _BRADFORD @ xyz[:, 0]
    if (cone_white <= 0).any():
        return None
    adapt = np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ _D50) / cone_white) @ _BRADFORD
    matrix: Curve = adapt @ (xyz[:, 1:] * scale)
    return matrix if np.isfinite(matrix).all() and np.abs(matrix).max() < 30_000 else None


def _curve_tag(curve: float | Callable[[Curve], Curve]) -> bytes:
    if callable(curve):
        values = curve(np.linspace(0, 1, _POINTS))
        return b"curv" + bytes(4) + struct.pack(">I", _POINTS) + (values * 65535).round().astype(">u2").tobytes()
    return b"para" + bytes(4) + struct.pack(">HHi", 0, 0, round(curve * 65536))


def _fixed(values: Sequence[float] | Curve) -> bytes:
    return struct.pack(">3i", *(round(float(value) * 65536) for value in values))


def _write(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A display profile, version 4, of the ICC's form (ICC.1:2022)."""
    tags = {b"desc": _text("made"), b"cprt": _text("none"), b"wtpt": b"XYZ " + bytes(4) + _fixed(_D50), **tags}
    begin = 132 + 12 * len(tags)
    index, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        index += name + struct.pack(">II", begin + len(body), len(padded))
        body += padded
    head = struct.pack(">I4sI4s4s4s", begin + len(body), bytes(4), 0x04300000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(_D50)
    return head.ljust(128, b"\0") + index + body


def _text(text: str) -> bytes:
    content = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(content), 28) + content
