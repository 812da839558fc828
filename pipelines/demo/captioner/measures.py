"""Measures a picture: its colours, light, layout, lines, texture and faces."""

import io
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.demo.captioner.colours import NAMES, names_of, temperature
from pipelines.demo.captioner.faces import Face, faces_of

Plane = npt.NDArray[np.float32]

MAX_BYTES = 20 << 20
MAX_PIXELS = 40_000_000
_COARSE = 160
"""Longest side, in pixels, at which everything but faces is measured."""
_FINE = 320

PLACES: tuple[tuple[str, ...], ...] = (
    ("in the upper left", "at the top", "in the upper right"),
    ("on the left", "in the centre", "on the right"),
    ("in the lower left", "at the bottom", "in the lower right"),
)


class NotAPicture(ValueError):
    """The bytes cannot be measured; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Accent:
    """The colour that stands out most from the picture's mean, and where it lies."""

    colour: str
    place: str
    share: float


@dataclass(frozen=True, kw_only=True)
class Measures:
    """All shares and levels are 0 to 1, but ``warmth`` (from cool) and ``fall`` (from brighter below) are -1 to 1."""

    width: int
    height: int
    colours: tuple[tuple[str, float], ...]
    """Names with their shares of the picture, the largest first; at least one."""
    brightness: float
    contrast: float
    saturation: float
    warmth: float
    fall: float
    accent: Accent | None
    brightest: str
    darkest: str
    focus: float
    """How much more detail the centre holds than the border."""
    horizon: float | None
    """Height of a level edge through most of the picture, 0 at the top."""
    lines: str
    """The direction that most edges run: level, upright or slanting."""
    order: float
    """How much the edges agree on that direction."""
    texture: float
    symmetry: float
    faces: tuple[Face, ...]

    @property
    def red(self) -> float:
        """Share of red tones."""
        return sum(share for name, share in self.colours if name in ("red", "dark red", "maroon", "rust"))


def measure(content: bytes) -> Measures:
    """Measures a JPEG, PNG or WebP file; NotAPicture when it is none, or too big."""
    fine, width, height = _decode(content)
    coarse = _shrink(fine, _COARSE)
    lab = np.asarray(cv2.cvtColor(coarse.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
    light = np.asarray(lab[..., 0] / 100, np.float32)
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    across = np.asarray(cv2.Sobel(light, cv2.CV_32F, 1, 0), np.float32)
    down = np.asarray(cv2.Sobel(light, cv2.CV_32F, 0, 1), np.float32)
    edges = np.hypot(across, down)
    named = names_of(coarse)
    shares = np.bincount(named.ravel(), minlength=len(NAMES)) / named.size
    brightest, darkest = _extremes(light)
    lines, order = _direction(across, down)
    half = light.shape[0] // 2
    return Measures(
        width=width,
        height=height,
        colours=tuple(
            (NAMES[i], float(shares[i])) for i in np.argsort(-shares, kind="stable")[:12] if shares[i] > 0.01
        ),
        brightness=float(light.mean()),
        contrast=min(1.0, float(light.std()) * 3),
        saturation=min(1.0, float(chroma.mean()) / 60),
        warmth=float(sum(share * temperature(name) for name, share in zip(NAMES, shares, strict=True))),
        fall=float(light[:half].mean() - light[half:].mean()),
        accent=_accent(lab, named, shares),
        brightest=brightest,
        darkest=darkest,
        focus=_focus(edges),
        horizon=_horizon(lab),
        lines=lines,
        order=order,
        texture=min(1.0, float((edges > 0.6).mean()) * 2),
        symmetry=_symmetry(light),
        faces=faces_of(np.asarray(cv2.cvtColor(fine, cv2.COLOR_RGB2GRAY), np.uint8), PLACES),
    )


def _decode(content: bytes) -> tuple[npt.NDArray[np.uint8], int, int]:
    """RGB at most _FINE pixels long, and the size of the file's picture."""
    if len(content) > MAX_BYTES:
        raise NotAPicture(f"the file has {len(content)} bytes, at most {MAX_BYTES} are taken")
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP")) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise NotAPicture(f"the picture has {width} x {height} pixels, at most {MAX_PIXELS} are taken")
            image.draft("RGB", (_FINE, _FINE))
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, Image.DecompressionBombError, SyntaxError) as error:
        raise NotAPicture(str(error)) from None
    return _shrink(pixels, _FINE), width, height


def _shrink(pixels: npt.NDArray[np.uint8], longest: int) -> npt.NDArray[np.uint8]:
    scale = min(1.0, longest / max(pixels.shape[:2]))
    size = (max(8, round(pixels.shape[1] * scale)), max(8, round(pixels.shape[0] * scale)))
    if size == pixels.shape[1::-1]:
        return pixels
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _place(row: float, column: float) -> str:
    """The words for a point; both coordinates 0 to 1, from the top left."""
    return PLACES[min(2, int(row * 3))][min(2, int(column * 3))]


def _extremes(light: Plane) -> tuple[str, str]:
    thirds = cv2.resize(light, (3, 3), interpolation=cv2.INTER_AREA)
    return _place_of(np.argmax(thirds)), _place_of(np.argmin(thirds))


def _place_of(index: np.intp) -> str:
    return PLACES[int(index) // 3][int(index) % 3]


def _accent(lab: Plane, named: npt.NDArray[np.uint8], shares: npt.NDArray[np.float64]) -> Accent | None:
    """The named colour, 1% to 30% of the picture and gathered in one place, that lies furthest from the mean."""
    mean = lab.reshape(-1, 3).mean(axis=0)
    best: tuple[float, Accent] | None = None
    for index in np.flatnonzero((shares > 0.01) & (shares < 0.3)):
        rows, columns = np.nonzero(named == index)
        spread = float(rows.std() / named.shape[0] + columns.std() / named.shape[1])
        away = float(np.linalg.norm(lab[rows, columns].mean(axis=0) - mean))
        worth = away / 100 * max(0.0, 1 - 1.8 * spread)
        if worth > 0.12 and (best is None or worth > best[0]):
            place = _place(float(np.median(rows)) / named.shape[0], float(np.median(columns)) / named.shape[1])
            best = worth, Accent(colour=NAMES[index], place=place, share=float(shares[index]))
    return best[1] if best else None


def _focus(edges: Plane) -> float:
    """How much of all detail lies in the middle quarter of the picture, above its fair share; 0 to 1."""
    height, width = edges.shape
    middle = edges[height // 4 : height - height // 4, width // 4 : width - width // 4]
    return float(np.clip((middle.sum() / max(edges.sum(), 1e-6) - 0.25) * 2, 0, 1))


def _horizon(lab: Plane) -> float | None:
    """A level edge, of light or of colour, that most columns have within a few rows of each other."""
    rows = lab.shape[0]
    margin = rows // 10
    reach = np.ones((2 * max(1, rows // 40) + 1, 1), np.uint8)
    best: tuple[float, int] = (0.0, 0)
    down, across = (cv2.Sobel(lab / 100, cv2.CV_32F, *along) for along in ((0, 1), (1, 0)))
    level = np.abs(down) > 2 * np.abs(across)
    for strong in (level & (sign * down > 0.5) for sign in (1, -1)):
        covered = cv2.dilate(strong.astype(np.uint8), reach).mean(axis=1)[margin : rows - margin].max(axis=-1)
        best = max(best, (float(covered.max()), int(np.argmax(covered)) + margin))
    return best[1] / rows if best[0] > 0.75 else None


def _direction(across: Plane, down: Plane) -> tuple[str, float]:
    """From the structure tensor: the direction along the edges, and its coherence."""
    xx, yy, xy = float((across**2).sum()), float((down**2).sum()), float((across * down).sum())
    order = float(np.hypot(xx - yy, 2 * xy) / max(xx + yy, 1e-6))
    angle = abs(np.degrees(0.5 * np.arctan2(2 * xy, xx - yy)))  # of the gradient; edges run across it
    return ("upright" if angle < 25 else "level" if angle > 65 else "slanting"), order


def _symmetry(light: Plane) -> float:
    """Correlation of the picture with its mirror image, at coarse scale; 0 when they differ."""
    small = cv2.resize(light, (24, 24), interpolation=cv2.INTER_AREA)
    centred = small - small.mean()
    power = float((centred**2).sum())
    return max(0.0, float((centred * centred[:, ::-1]).sum()) / power) if power > 1e-4 else 0.0
