"""The emotions as a wheel: six groups inside, their emotions around; one chooses several by pointer or keyboard."""

from html import escape
from math import cos, pi, sin
from pathlib import Path
from typing import Any

import gradio as gr

from moodarchive.emotions.taxonomy import EKMAN, EMOTIONS, words

_MIDDLE, _INNER, _OUTER = 48, 92, 198
"""Radii in a picture of 400 x 400."""
_COLOURS = {
    "joy": "#fde68a",
    "surprise": "#a5f3fc",
    "fear": "#d9f99d",
    "anger": "#fecaca",
    "disgust": "#bbf7d0",
    "sadness": "#c7d2fe",
}
_SCRIPT = Path(__file__).with_name("wheel.js")


def emotion_wheel(chosen: list[str]) -> Any:
    """The component; its value is the list of the chosen emotions, in the taxonomy's order."""
    return gr.HTML(
        value=chosen,
        html_template=wheel_markup(),
        js_on_load=_SCRIPT.read_text("utf-8"),
        apply_default_css=False,
        padding=False,
        elem_id="wheel",
    )


def wheel_markup() -> str:
    """The wheel as SVG. Each wedge is a checkbox, each group a button that chooses all of it or none."""
    groups = {group: [e for e in EMOTIONS if EKMAN[e] == group] for group in _COLOURS}
    step, angle, parts = 2 * pi / len(EMOTIONS), -pi / 2, []
    for group, emotions in groups.items():
        end = angle + step * len(emotions)
        parts.append(
            f'<g class="group" role="button" tabindex="-1" data-group="{group}" data-key="group-{group}" '
            f'aria-label="all of {group}, {len(emotions)}"><path d="{_ring(_MIDDLE, _INNER, angle, end)}" '
            f'fill="{_COLOURS[group]}"/>{_text(group, (_MIDDLE + _INNER) / 2, (angle + end) / 2, len(emotions))}</g>'
        )
        for emotion in emotions:
            parts.append(
                f'<g class="wedge" role="checkbox" aria-checked="false" tabindex="-1" data-emotion="{emotion}" '
                f'data-of="{group}" data-key="{emotion}" aria-label="{escape(words(emotion))}">'
                f'<path d="{_ring(_INNER, _OUTER, angle, angle + step)}" fill="{_COLOURS[group]}"/>'
                f"{_text(words(emotion), (_INNER + _OUTER) / 2, angle + step / 2, 1)}</g>"
            )
            angle += step
    return (
        '<fieldset class="wheel"><legend>Emotions <span class="hint">several at once; arrows and space</span></legend>'
        '<svg viewBox="0 0 400 400" role="group" aria-label="emotions in their groups">'
        f"{''.join(parts)}"
        '<g class="clear" role="button" tabindex="-1" data-key="clear">'
        '<circle cx="200" cy="200" r="44"/><text x="200" y="197" class="count"></text>'
        '<text x="200" y="213" class="small">clear</text></g></svg>'
        '<p class="chosen" aria-live="polite"></p></fieldset>'
    )


def _ring(inside: float, outside: float, begin: float, end: float) -> str:
    """A piece of a ring between two angles in radians."""
    large = int(end - begin > pi)
    points = [(outside, begin), (outside, end), (inside, end), (inside, begin)]
    a, b, c, d = (f"{200 + r * cos(t):.1f} {200 + r * sin(t):.1f}" for r, t in points)
    return f"M{a}A{outside} {outside} 0 {large} 1 {b}L{c}A{inside} {inside} 0 {large} 0 {d}Z"


def _text(text: str, radius: float, angle: float, width: int) -> str:
    """Along the radius in a wedge, upright in a wide group; never upside down."""
    x, y = 200 + radius * cos(angle), 200 + radius * sin(angle)
    turn = angle * 180 / pi
    if width > 2:
        turn += 90
    if cos(turn * pi / 180) < 0:
        turn += 180
    return f'<text x="{x:.1f}" y="{y:.1f}" transform="rotate({turn:.1f} {x:.1f} {y:.1f})">{escape(text)}</text>'
