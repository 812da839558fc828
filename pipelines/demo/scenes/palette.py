"""Colours: the named tones the drawings share and the arithmetic between them."""

import random

Colour = tuple[int, ...]
"""Red, green, blue and, where translucent, alpha; each 0 to 255."""

SKIN_TONES: tuple[Colour, ...] = (
    (255, 224, 196),
    (244, 205, 170),
    (232, 184, 142),
    (214, 160, 116),
    (186, 128, 88),
    (152, 100, 66),
    (118, 76, 50),
    (90, 58, 40),
)
HAIR_COLOURS: tuple[Colour, ...] = (
    (28, 22, 20),
    (54, 36, 26),
    (96, 60, 34),
    (150, 92, 44),
    (206, 164, 92),
    (164, 66, 30),
    (176, 174, 172),
)
BRIGHT_COLOURS: tuple[Colour, ...] = (
    (236, 64, 72),
    (255, 152, 40),
    (252, 212, 60),
    (76, 184, 88),
    (44, 168, 200),
    (76, 104, 220),
    (164, 92, 208),
    (248, 116, 168),
)
PASTEL_COLOURS: tuple[Colour, ...] = (
    (250, 196, 172),
    (252, 226, 150),
    (176, 220, 196),
    (168, 208, 236),
    (214, 190, 236),
    (248, 190, 206),
    (240, 220, 190),
)
DULL_COLOURS: tuple[Colour, ...] = (
    (104, 112, 122),
    (120, 118, 116),
    (88, 100, 112),
    (126, 130, 138),
    (96, 96, 104),
)
WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)


def _clamp(value: float) -> int:
    return max(0, min(255, round(value)))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour `share` (0 to 1) of the way from `first` to `second`, opaque."""
    return tuple(_clamp(a + (b - a) * share) for a, b in zip(first[:3], second[:3], strict=True))


def darken(colour: Colour, share: float) -> Colour:
    """Return `colour` moved `share` (0 to 1) of the way to black."""
    return mix(colour, BLACK, share)


def lighten(colour: Colour, share: float) -> Colour:
    """Return `colour` moved `share` (0 to 1) of the way to white."""
    return mix(colour, WHITE, share)


def translucent(colour: Colour, alpha: int) -> Colour:
    """Return `colour` with an opacity of 0 (clear) to 255 (solid)."""
    return (*colour[:3], alpha)


def jitter(rng: random.Random, colour: Colour, amount: int = 16) -> Colour:
    """Return `colour` with brightness and each channel moved by up to `amount` levels."""
    shift = rng.uniform(-amount, amount)
    return tuple(_clamp(c + shift + rng.uniform(-amount, amount) * 0.6) for c in colour[:3])
