"""Composes the five sentences and the emotions from measures and the searcher's words."""

import hashlib
import random
import re
from dataclasses import dataclass

from moodarchive.emotions.taxonomy import EMOTIONS, SENTIMENT
from pipelines.demo.captioner.measures import Measures
from pipelines.demo.captioner.moods import Mood, fits, mood_of, nearest
from pipelines.demo.captioner.stimuli import a, stimuli

_PHRASE_WORDS = 8
_PHRASE_LETTERS = 60


@dataclass(frozen=True, kw_only=True)
class Hints:
    """The searcher's words; either may be unknown."""

    emotion: str | None
    phrase: str | None


@dataclass(frozen=True, kw_only=True)
class Composed:
    """The answer's parts."""

    summary: str
    stimuli: tuple[str, ...]
    assessment: str
    emotions: tuple[str, ...]


def hints_in(prompt: str) -> Hints:
    """Reads lines such as ``Emotion searched for: joy`` and ``Search phrase: a red kite``; the last of each counts."""
    emotions = re.findall(r"(?im)^[^:\n]{0,20}\bemotion\b[^:\n]{0,20}:\s*([a-z]+)\s*$", prompt)
    phrases = re.findall(r"(?im)^[^:\n]{0,20}\b(?:phrase|query)\b[^:\n]{0,20}:\s*(\S.*?)\s*$", prompt)
    emotion = emotions[-1].lower() if emotions else None
    return Hints(emotion=emotion if emotion in EMOTIONS else None, phrase=_plain(phrases[-1]) if phrases else None)


def _plain(phrase: str) -> str | None:
    """Words only, so that the sentence stays one sentence; None when nothing or too much is left."""
    words = re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", phrase)[:_PHRASE_WORDS]
    plain = " ".join(words)
    return plain.lower() if 0 < len(plain) <= _PHRASE_LETTERS else None


def compose(measures: Measures, hints: Hints, variety: str) -> Composed:
    """Equal arguments give equal words; ``variety`` (such as picture, prompt and seed) chooses between wordings."""
    chance = random.Random(hashlib.sha256(variety.encode()).digest())
    mood = mood_of(measures)
    chosen = stimuli(measures, chance)[:3]
    return Composed(
        summary=_summary(measures, hints, chance),
        stimuli=tuple(stimulus.sentence for stimulus in chosen),
        assessment=_assessment(measures, hints, mood, chance),
        emotions=_emotions(hints, mood),
    )


def _summary(m: Measures, hints: Hints, chance: random.Random) -> str:
    shape = "wide" if m.width > 1.15 * m.height else "tall" if m.height > 1.15 * m.width else "square"
    light = "bright" if m.brightness > 0.66 else "dark" if m.brightness < 0.34 else "evenly lit"
    main = m.colours[0][0]
    rest = [name for name, share in m.colours[1:3] if share > 0.08]
    colours = f"mostly {main}, with {' and '.join(rest)}" if rest else f"almost all {main}"
    searched = f", searched for as {hints.phrase}," if hints.phrase else ""
    faces = {0: "", 1: "what looks like one face"}.get(len(m.faces), f"a group of about {len(m.faces)} faces")
    edge = "a level line like a horizon" if m.horizon is not None else ""
    beside = f", and there is {faces or edge}" if faces or edge else ""
    return chance.choice(
        (
            f"This {light}, {shape} picture{searched} is {colours}{beside}.",
            f"{a(shape).capitalize()} and {light} picture{searched} shows tones that are {colours}{beside}.",
            f"The {shape} frame{searched} is {light} and {colours}{beside}.",
        )
    )


def _assessment(m: Measures, hints: Hints, mood: Mood, chance: random.Random) -> str:
    because = _evidence(m, chance)
    measured = nearest(mood)[0]
    if hints.emotion is None:
        return f"{because[0].upper()}{because[1:]} would suit {measured}, although measures alone cannot tell more."
    if fits(hints.emotion, mood):
        return chance.choice(
            (
                f"The search words suggest {hints.emotion}, and {because} can carry that feeling.",
                f"Overall the mood may be read as {hints.emotion}, since {because} does not speak against it.",
                f"Given {because}, the picture supports the {hints.emotion} that the search words name.",
            )
        )
    side = SENTIMENT[measured]
    lean = f"{measured}, {a(side)} mood" if side != "ambiguous" else measured
    return chance.choice(
        (
            f"The search words suggest {hints.emotion}, yet {because} leans more towards {lean}.",
            f"Although {hints.emotion} was searched for, {because} reads closer to {measured}.",
            f"Overall {because} points to {measured} rather than to the {hints.emotion} of the search words.",
        )
    )


def _evidence(m: Measures, chance: random.Random) -> str:
    """A singular noun phrase about what was measured."""
    light = "bright" if m.brightness > 0.62 else "dim" if m.brightness < 0.36 else "half-lit"
    contrast = "hard" if m.contrast > 0.78 else "soft" if m.contrast < 0.48 else "moderate"
    colours = " and ".join(name for name, _ in m.colours[:2])
    return chance.choice(
        (
            f"the {light} {m.colours[0][0]} palette with its {contrast} contrast",
            f"the blend of {colours} in {contrast} contrast",
            f"the {contrast} contrast of {a(light)} scene in {colours}",
        )
    )


def _emotions(hints: Hints, mood: Mood) -> tuple[str, ...]:
    """The hinted emotion first unless the measures contradict it; then it comes last."""
    ranked = nearest(mood)
    if hints.emotion is None:
        return tuple(ranked[:2])
    if fits(hints.emotion, mood):
        return tuple(dict.fromkeys((hints.emotion, ranked[0])))
    return ranked[0], hints.emotion
