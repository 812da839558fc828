"""The fields of settings and requests as other programs show them: name, type, default, limits and a help text."""

import dataclasses
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import annotated_types

from editor.edit import METHODS, default_settings
from editor.planning.plan import EditRequest
from moodarchive.settings import Settings


@dataclass(frozen=True, kw_only=True)
class ShownField:
    """A field that a form or a call can show; ``choices`` is empty unless only some values are legal."""

    name: str
    type: type
    default: Any
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    says: str = ""


def settings_fields(method: str) -> list[ShownField]:
    """Every field of ``EditSettings`` of a plain type, with the method's own default.

    Those of emoeditor's loop go by their own names, as ``settings_with`` takes them, and are shown for it alone.
    """
    own = default_settings(method)
    return _fields_of(own) + (_fields_of(own.iei) if method == "emoeditor" else [])


def all_settings_fields() -> list[ShownField]:
    """Those of every method by name, where the method is not known beforehand; defaults are the first method's."""
    by_name = {field.name: field for method in reversed(METHODS) for field in settings_fields(method)}
    return list(by_name.values())


def _fields_of(settings: Settings) -> list[ShownField]:
    shown = []
    for name, field in type(settings).model_fields.items():
        kind, choices = _plain(field.annotation)
        if kind is None:
            continue
        least, most = None, None
        for limit in field.metadata:
            if isinstance(limit, (annotated_types.Ge, annotated_types.Gt)):
                least = float(getattr(limit, "ge", getattr(limit, "gt", 0)))
            if isinstance(limit, (annotated_types.Le, annotated_types.Lt)):
                most = float(getattr(limit, "le", getattr(limit, "lt", 0)))
        shown.append(
            ShownField(
                name=name,
                type=kind,
                default=getattr(settings, name),
                choices=choices,
                least=least,
                most=most,
                says=" ".join((field.description or "").split()),
            )
        )
    return shown


def request_fields() -> list[ShownField]:
    """Every field of ``EditRequest`` of a plain type that has a default; emotion, mask and boxes are no such."""
    hints = get_type_hints(EditRequest)
    shown = []
    for field in dataclasses.fields(EditRequest):
        kind, choices = _plain(hints[field.name])
        if kind is not None and field.default is not dataclasses.MISSING:
            shown.append(ShownField(name=field.name, type=kind, default=field.default, choices=choices))
    return shown


def _plain(annotation: Any) -> tuple[type | None, tuple[str, ...]]:
    """The type and the legal values; None for what is no number, text, flag or choice of texts."""
    if get_origin(annotation) in (Union, UnionType):
        inner = [each for each in get_args(annotation) if each is not type(None)]
        return _plain(inner[0]) if len(inner) == 1 else (None, ())
    if get_origin(annotation) is Literal:
        values = get_args(annotation)
        return (str, tuple(values)) if all(isinstance(value, str) for value in values) else (None, ())
    return (annotation, ()) if annotation in (bool, int, float, str) else (None, ())
