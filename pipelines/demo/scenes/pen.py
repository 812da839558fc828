"""A pen that draws filled shapes and strokes in a frame that can be moved, turned and scaled."""

# Coordinates and sizes come in the one order that every drawer uses: naming each would bury the drawing.
# ruff: noqa: PLR0917

import math
from collections.abc import Iterable, Sequence

from PIL import ImageDraw

from pipelines.demo.scenes.palette import Colour

Point = tuple[float, float]
_TURNS = 32
_CIRCLE = tuple((math.cos(2 * math.pi * i / _TURNS), math.sin(2 * math.pi * i / _TURNS)) for i in range(_TURNS))


class Pen:
    """Draws in local units: x right, y down, both times `scale` units of the picture."""

    def __init__(
        self,
        draw: ImageDraw.ImageDraw,
        unit: float,
        origin: Point,
        scale: float,
        angle: float,
        mirror: bool,
    ) -> None:
        """Draw through `draw`, `unit` pixels to a unit, turned `angle` degrees clockwise."""
        self._draw, self._unit, self._origin = draw, unit, origin
        self._scale, self._angle, self._mirror = scale, angle, mirror
        cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        flip = -1.0 if mirror else 1.0
        pixels = scale * unit
        self._matrix = (
            pixels * cosine * flip,
            -pixels * sine,
            origin[0] * unit,
            pixels * sine * flip,
            pixels * cosine,
            origin[1] * unit,
        )

    @property
    def scale(self) -> float:
        """Units of the picture to one local unit."""
        return self._scale

    def place(self, x: float, y: float) -> Point:
        """Return where the local point (x, y) lies on the picture, in its units."""
        a, b, c, d, e, f = self._matrix
        return (a * x + b * y + c) / self._unit, (d * x + e * y + f) / self._unit

    def at(self, x: float, y: float, scale: float = 1.0, angle: float = 0.0, mirror: bool = False) -> "Pen":
        """Return a pen with its origin at the local point (x, y), further scaled and turned."""
        turned = -angle if self._mirror else angle
        return Pen(
            self._draw,
            self._unit,
            self.place(x, y),
            self._scale * scale,
            self._angle + turned,
            self._mirror != mirror,
        )

    def _pixels(self, points: Iterable[Point]) -> list[tuple[int, int]]:
        # Whole pixels: the last bits of a cosine may differ between machines, these do not.
        a, b, c, d, e, f = self._matrix
        return [(round(a * x + b * y + c), round(d * x + e * y + f)) for x, y in points]

    def shape(self, points: Iterable[Point], fill: Colour) -> None:
        """Fill the polygon through `points` (at least two)."""
        self._draw.polygon(self._pixels(points), fill=fill)

    def oval(self, x: float, y: float, across: float, down: float, fill: Colour, tilt: float = 0.0) -> None:
        """Fill an ellipse of half-axes `across` and `down`, its axes turned `tilt` degrees."""
        cosine, sine = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
        self.shape(
            [
                (x + across * u * cosine - down * v * sine, y + across * u * sine + down * v * cosine)
                for u, v in _CIRCLE
            ],
            fill,
        )

    def disc(self, x: float, y: float, radius: float, fill: Colour) -> None:
        """Fill a circle of `radius` local units."""
        self.oval(x, y, radius, radius, fill)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Colour) -> None:
        """Fill a rectangle."""
        self.shape([(left, top), (right, top), (right, bottom), (left, bottom)], fill)

    def stroke(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        """Draw a line through `points`, `width` local units thick, with round joints and ends."""
        placed = self._pixels(points)
        thick = max(1, round(width * self._scale * self._unit))
        self._draw.line(placed, fill=fill, width=thick, joint="curve")
        if thick > 3 and len(fill) == 3:
            half = thick / 2
            for x, y in (placed[0], placed[-1]):
                self._draw.ellipse((x - half, y - half, x + half, y + half), fill=fill)

    def curve(self, start: Point, bend: Point, end: Point, width: float, fill: Colour) -> None:
        """Draw a line from `start` to `end` pulled towards `bend` (a quadratic Bezier)."""
        self.stroke(bezier(start, bend, end), width, fill)

    def arc(self, x: float, y: float, radius: float, start: float, end: float, width: float, fill: Colour) -> None:
        """Draw a circle's arc from `start` to `end` degrees, clockwise from the right."""
        steps = max(6, int(abs(end - start) / 8))
        self.stroke(
            [
                (x + radius * math.cos(math.radians(a)), y + radius * math.sin(math.radians(a)))
                for a in (start + (end - start) * i / steps for i in range(steps + 1))
            ],
            width,
            fill,
        )

    def heart(self, x: float, y: float, size: float, fill: Colour, tilt: float = 0.0) -> None:
        """Fill a heart about 2 `size` wide, centred on (x, y) and turned `tilt` degrees."""
        local = self.at(x, y, size, tilt)
        local.shape([(px, py) for px, py in _HEART], fill)

    def star(self, x: float, y: float, radius: float, fill: Colour, points: int = 5, inner: float = 0.42) -> None:
        """Fill a star with `points` tips at `radius` and dents at `inner` times that."""
        rim = []
        for i in range(points * 2):
            reach = radius if i % 2 == 0 else radius * inner
            turn = math.pi * i / points - math.pi / 2
            rim.append((x + reach * math.cos(turn), y + reach * math.sin(turn)))
        self.shape(rim, fill)


def bezier(start: Point, bend: Point, end: Point, steps: int = 12) -> list[Point]:
    """Return `steps` + 1 points on the quadratic Bezier from `start` to `end`."""
    points = []
    for i in range(steps + 1):
        t = i / steps
        a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t * t
        points.append((a * start[0] + b * bend[0] + c * end[0], a * start[1] + b * bend[1] + c * end[1]))
    return points


def smooth(outline: Sequence[Point], rounds: int = 2) -> list[Point]:
    """Return the closed `outline` with its corners cut `rounds` times, which rounds it."""
    points = list(outline)
    for _ in range(rounds):
        cut: list[Point] = []
        for (x, y), (u, v) in zip(points, [*points[1:], points[0]], strict=True):
            cut += [(0.75 * x + 0.25 * u, 0.75 * y + 0.25 * v), (0.25 * x + 0.75 * u, 0.25 * y + 0.75 * v)]
        points = cut
    return points


def _heart_outline() -> list[Point]:
    outline = []
    for i in range(40):
        t = 2 * math.pi * i / 40
        outline.append(
            (
                math.sin(t) ** 3,
                -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16,
            )
        )
    return outline


_HEART = _heart_outline()
