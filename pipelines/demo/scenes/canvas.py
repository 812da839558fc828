"""The supersampled picture that drawers paint on, with its soft effects and finish."""

# Coordinates and sizes come in the one order that every drawer uses: naming each would bury the drawing.
# ruff: noqa: PLR0917

import random
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pipelines.demo.scenes.palette import Colour
from pipelines.demo.scenes.pen import Pen

SUPERSAMPLE = 2
SMALLEST_SIDE = 16
_FALLOFF_SIDE = 64


def _radial_falloff() -> Image.Image:
    """Return a 64x64 mask, white at the centre, that fades smoothly to black at the rim."""
    axis = (np.arange(_FALLOFF_SIDE) - (_FALLOFF_SIDE - 1) / 2) / (_FALLOFF_SIDE / 2)
    inside = np.clip(1.0 - axis[:, None] ** 2 - axis[None, :] ** 2, 0.0, 1.0)
    return Image.fromarray(np.round(inside * inside * 255).astype(np.uint8))


_FALLOFF = _radial_falloff()


class Canvas:
    """A picture measured in units of its shorter side: x 0 to `width`, y 0 to `height`, y down."""

    def __init__(self, size: tuple[int, int]) -> None:
        """Start a black picture of `size` (width, height) pixels; ValueError under 16 a side."""
        if min(size) < SMALLEST_SIDE:
            raise ValueError(f"a scene needs at least {SMALLEST_SIDE} pixels a side, not {size}")
        self.size = size
        self.unit = min(size) * SUPERSAMPLE
        self.width = size[0] / min(size)
        self.height = size[1] / min(size)
        self.image = Image.new("RGB", (size[0] * SUPERSAMPLE, size[1] * SUPERSAMPLE))
        self._draw = ImageDraw.Draw(self.image, "RGBA")

    def pen(
        self,
        x: float = 0.0,
        y: float = 0.0,
        scale: float = 1.0,
        angle: float = 0.0,
        mirror: bool = False,
    ) -> Pen:
        """Return a pen whose origin is (x, y) units, turned `angle` degrees clockwise."""
        return Pen(self._draw, self.unit, (x, y), scale, angle, mirror)

    def gradient(self, colours: Sequence[Colour], top: float = 0.0, bottom: float | None = None) -> None:
        """Fill the rows from `top` to `bottom` units with evenly spaced colours, blended."""
        bottom = self.height if bottom is None else bottom
        first, last = round(top * self.unit), round(bottom * self.unit)
        rows = max(1, last - first)
        places = np.linspace(0, len(colours) - 1, rows)
        stops = np.array([colour[:3] for colour in colours], dtype=np.float64)
        column = np.stack([np.interp(places, np.arange(len(colours)), stops[:, band]) for band in range(3)], axis=1)
        strip = Image.fromarray(np.round(column).astype(np.uint8)[:, None, :])
        self.image.paste(strip.resize((self.image.width, rows), Image.Resampling.NEAREST), (0, first))

    def veil(self, top: float, bottom: float, colour: Colour, opacity: Sequence[float]) -> None:
        """Lay a haze of `colour` over rows `top` to `bottom`, opacities (0 to 1) evenly spaced."""
        first, last = round(top * self.unit), round(bottom * self.unit)
        rows = max(1, last - first)
        ramp = np.interp(np.linspace(0, len(opacity) - 1, rows), np.arange(len(opacity)), opacity)
        strip = Image.fromarray(np.round(ramp * 255).astype(np.uint8)[:, None])
        mask = strip.resize((self.image.width, rows), Image.Resampling.NEAREST)
        self.image.paste(colour[:3], (0, first, self.image.width, first + rows), mask)

    def glow(
        self,
        x: float,
        y: float,
        radius: float,
        colour: Colour,
        strength: float = 1.0,
        stretch: float = 1.0,
    ) -> None:
        """Lay a soft light of `radius` units (vertical radius times `stretch`) over the picture."""
        across, down = (max(2, round(radius * self.unit * s * 2)) for s in (1.0, stretch))
        mask = _FALLOFF.point([round(level * strength) for level in range(256)])
        corner = (round(x * self.unit) - across // 2, round(y * self.unit) - down // 2)
        self._paste_soft(mask, corner, (across, down), colour)

    def puff(
        self,
        rng: random.Random,
        x: float,
        y: float,
        width: float,
        height: float,
        colour: Colour,
        opacity: float = 0.8,
        lobes: int = 6,
    ) -> None:
        """Lay a cloud of soft lobes centred on (x, y), `width` by `height` units."""
        mask = Image.new("L", (192, 128))
        draw = ImageDraw.Draw(mask)
        level = round(255 * opacity)
        for lobe in range(lobes):
            centre = 36 + 120 * (lobe + 0.5) / lobes + rng.uniform(-8, 8)
            radius = rng.uniform(20, 36) * (1.0 - 0.35 * abs(centre - 96) / 60)
            base = 80 + rng.uniform(-20, 12)
            draw.ellipse((centre - radius, base - radius, centre + radius, base + radius), fill=level)
        mask = mask.reduce(2).filter(ImageFilter.BoxBlur(1))
        across, down = (max(2, round(length * self.unit)) for length in (width, height))
        corner = (round(x * self.unit) - across // 2, round(y * self.unit) - down // 2)
        self._paste_soft(mask, corner, (across, down), colour)

    def _paste_soft(self, mask: Image.Image, corner: tuple[int, int], extent: tuple[int, int], colour: Colour) -> None:
        """Blend `colour` through `mask` stretched to `extent` pixels, only where it is in view."""
        left, top = max(0, corner[0]), max(0, corner[1])
        right = min(self.image.width, corner[0] + extent[0])
        bottom = min(self.image.height, corner[1] + extent[1])
        if right <= left or bottom <= top:
            return
        columns, rows = mask.width / extent[0], mask.height / extent[1]
        box = (
            (left - corner[0]) * columns,
            (top - corner[1]) * rows,
            (right - corner[0]) * columns,
            (bottom - corner[1]) * rows,
        )
        scaled = mask.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box=box)
        self.image.paste(colour[:3], (left, top, right, bottom), scaled)

    def finish(self, rng: random.Random, unevenness: int = 14, grain: int = 5) -> Image.Image:
        """Return the picture at its true size with uneven light, fine grain and maybe mirrored.

        `unevenness` and `grain` are the largest changes, in levels of 255.
        """
        picture = self.image.reduce(SUPERSAMPLE)
        width, height = self.size
        # Raw generator words, not a distribution: only those are promised to stay the same
        # from one numpy to the next.
        source = np.random.PCG64(rng.getrandbits(64))
        words = source.random_raw(4 + (width * height + 7) // 8)
        octets = words.view(np.uint8)
        lights = Image.fromarray(octets[:30].reshape(5, 6).copy())
        field = np.asarray(lights.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
        fine = octets[32 : 32 + width * height].reshape(height, width).astype(np.int16)
        change = (field - 128) * unevenness // 128 + (fine - 128) * grain // 128
        pixels = np.asarray(picture, dtype=np.int16) + change[:, :, None]
        picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        if rng.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return picture
