"""Turns measures into candidate stimuli: one sentence for each measured thing that may stir a feeling."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipelines.demo.captioner.measures import Measures


@dataclass(frozen=True, kw_only=True)
class Stimulus:
    """One measured thing, how much it stands out (0 to 1), and a sentence about it."""

    about: str
    strength: float
    sentence: str


def a(noun: str) -> str:
    """The noun with its indefinite article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def stimuli(measures: Measures, chance: random.Random) -> list[Stimulus]:
    """Every thing worth a sentence, at least three, the strongest first."""
    stimuli_of_all = [stimulus for sense in _SENSES for stimulus in sense(measures, chance)]
    return sorted(stimuli_of_all, key=lambda stimulus: (-stimulus.strength, stimulus.about))


def _faces(m: Measures, chance: random.Random) -> Iterator[Stimulus]:
    if not m.faces:
        return
    face, size = m.faces[0], "large" if m.faces[0].share > 0.08 else "small"
    if len(m.faces) == 1:
        said = chance.choice(
            (
                f"A {size} face {face.place} looks towards the viewer and asks for sympathy",
                f"What seems to be a face {face.place} meets the eye before anything else does",
                f"The eye goes first to a {size} face {face.place}, which makes the picture personal",
            )
        )
    else:
        count = ("two", "three", "four", "five", "six")[len(m.faces) - 2]
        said = f"There seem to be {count} faces, the largest {face.place}, which gives a sense of company"
    yield Stimulus(about="faces", strength=0.9, sentence=said + ".")


def _accent(m: Measures, chance: random.Random) -> Iterator[Stimulus]:
    if m.accent is None:
        return
    around, accent = m.colours[0][0], m.accent
    size = "small" if accent.share < 0.04 else "clear" if accent.share < 0.12 else "broad"
    other = f" from the {around} around it" if around != accent.colour else ""
    said = chance.choice(
        (
            f"{a(size).capitalize()} patch of {accent.colour} {accent.place} stands out{other} and holds the eye",
            f"{a(accent.colour).capitalize()} area {accent.place} breaks away{other} and sets an accent",
            f"Attention is drawn {_to(accent.place)}, where {a(size)} touch of {accent.colour} interrupts the rest",
        )
    )
    yield Stimulus(about="accent", strength=0.45 + min(0.35, 3 * accent.share), sentence=said + ".")


def _light(m: Measures, chance: random.Random) -> Iterator[Stimulus]:
    if m.brightness > 0.66:
        light, feels = "plenty of light", ("feels open", "gives an airy, easy feeling", "leaves little room for gloom")
    elif m.brightness < 0.34:
        light, feels = "deep shadow", ("feels heavy", "leaves much unseen and uncertain", "weighs on the mood")
    else:
        light, feels = "moderate light", ("feels calm and even", "keeps the mood level", "is neither cheerful nor grim")
    said = chance.choice(
        (
            f"{light.capitalize()} fills the frame, brightest {m.brightest} and darkest {m.darkest}, and {{feels}}",
            f"Brightness gathers {m.brightest} while darkness lies {m.darkest}, a balance of {light} that {{feels}}",
            f"The picture holds {light}, with its brightest tones {m.brightest}, which {{feels}}",
        )
    )
    strength = 0.35 + abs(m.brightness - 0.5)
    yield Stimulus(about="light", strength=strength, sentence=said.format(feels=chance.choice(feels)) + ".")


def _contrast(m: Measures, chance: random.Random) -> Iterator[Stimulus]:
    if m.contrast > 0.78:
        said = chance.choice(
            (
                f"Hard contrast between {m.colours[0][0]} and the other tones puts the scene under tension",
                "Light and dark meet abruptly, and the strong contrast makes the scene restless",
                "The wide gap between the lightest and the darkest tones gives the view force",
            )
        )
        yield Stimulus(about="contrast", strength=m.contrast - 0.2, sentence=said + ".")
    elif m.contrast < 0.48:
        said = chance.choice(
            (
                "Tones lie close together, and the low contrast gives a hushed, muted feeling",
                "Nothing is very light or very dark, and this softness quiets the scene",
                f"Gentle steps between shades of {m.colours[0][0]} lend the view a subdued calm",
            )
        )
        yield Stimulus(about="contrast", strength=0.9 - m.contrast, sentence=said + ".")


def _palette(m: Measures, chance: random.Random) -> Iterator[Stimulus]:
    names = " and ".join(name for name, _ in m.colours[:2])
    feels = _vivid(m) if m.saturation > 0.42 else _muted(m)
    said = chance.choice((f"The palette of {names} {feels}", f"Built mostly from {names}, the colouring {feels}"))
    yield Stimulus(about="palette", strength=0.3 + abs(m.saturation - 0.28), sentence=said + ".")


def _vivid(m: Measures) -> str:
    if m.red > 0.25:
        return "burns with heat and urgency"
    if m.warmth < -0.1:
        return "is vivid yet cool, which is bracing"
    if m.brightness < 0.36:
        return "smoulders darkly and stays uneasy"
    return "glows warmly and lifts the energy" if m.warmth > 0.3 else "is rich in colour and lively"


def _muted(m: Measures) -> str:
    if m.saturation < 0.14:
        return "is nearly without colour, which makes the mood sober"
    if abs(m.warmth) < 0.12:
        return "is restrained"
    return "is warm and familiar" if m.warmth > 0 else "is cool and distant"


def _layout(m: Measures, chance: random.Random) -> Iterator[Stimulus]:
    if m.horizon is not None:
        height = "high" if m.horizon < 0.38 else "low" if m.horizon > 0.62 else "midway"
        said = chance.choice(
            (
                f"A level edge runs {height} across the frame like a horizon and gives the view a steady base",
                f"The frame is divided {height} by a long level line, which brings order and rest",
            )
        )
        yield Stimulus(about="horizon", strength=0.55, sentence=said + ".")
    if m.symmetry > 0.75:
        said = "Left and right nearly mirror each other, and that balance feels composed"
        yield Stimulus(about="symmetry", strength=m.symmetry - 0.3, sentence=said + ".")
    if m.focus > 0.35:
        said = "Most detail is gathered in the middle while the borders stay plain, so the subject seems alone"
        yield Stimulus(about="focus", strength=0.2 + m.focus, sentence=said + ".")
    if abs(m.fall) > 0.22:
        upper, feels = ("upper", "opens it towards the sky") if m.fall > 0 else ("lower", "makes the top press down")
        said = f"The {upper} half is much the brighter one, and this fall of light {feels}"
        yield Stimulus(about="fall", strength=0.2 + abs(m.fall), sentence=said + ".")


def _surface(m: Measures, chance: random.Random) -> Iterator[Stimulus]:
    if m.order > 0.4:
        feels = {"level": "calms the eye", "upright": "gives the view a firm bearing", "slanting": "adds movement"}[
            m.lines
        ]
        said = f"Edges run mostly {m.lines}, and this shared direction {feels}"
        yield Stimulus(about="lines", strength=0.1 + m.order, sentence=said + ".")
    if m.texture > 0.55:
        said = chance.choice(
            (
                "Dense, busy detail covers the frame and keeps the eye moving",
                "Fine texture everywhere gives a crowded feeling",
            )
        )
        yield Stimulus(about="texture", strength=0.1 + 0.5 * m.texture, sentence=said + ".")
    elif m.texture < 0.12:
        said = chance.choice(
            (
                "Wide smooth areas leave the scene still and quiet",
                "There is little detail, and the plain surfaces feel silent",
            )
        )
        yield Stimulus(about="texture", strength=0.5 - m.texture, sentence=said + ".")
    else:
        said = (
            f"Detail is spread in moderation, with edges that run mostly {m.lines}, which keeps interest without unrest"
        )
        yield Stimulus(about="texture", strength=0.1, sentence=said + ".")


def _to(place: str) -> str:
    return place.replace("in the ", "to the ").replace("on the ", "to the ").replace("at the ", "to the ")


_SENSES: tuple[Callable[[Measures, random.Random], Iterator[Stimulus]], ...] = (
    _faces,
    _accent,
    _light,
    _contrast,
    _palette,
    _layout,
    _surface,
)
