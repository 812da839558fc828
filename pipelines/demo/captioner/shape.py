"""Brings the composed caption into the shape of a request's JSON schema."""

from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import Any

from pipelines.demo.captioner.sentences import Composed


def fill_schema(schema: Mapping[str, Any], composed: Composed) -> Any:
    """A value of the schema's shape: fields of a caption's names get its parts, text elsewhere gets its sentences.

    What is asked of safety is answered with no: the demo's pictures are drawings of harmless scenes.

    It follows type, properties, items, enum, minItems, maxItems, minimum and maxLength; a pattern is not followed.
    """
    parts = {
        "summary": (composed.summary,),
        "stimuli": composed.stimuli,
        "assessment": (composed.assessment,),
        "emotions": composed.emotions,
        "nudity": ("no",),
        "gore": ("no",),
    }
    sentences = (composed.summary, *composed.stimuli, composed.assessment)
    if "properties" not in schema:
        return _fill(schema, sentences)
    answer = {name: _fill(below, parts.get(name, sentences)) for name, below in schema["properties"].items()}
    return answer | _change_of_emotion(answer, composed)


def _change_of_emotion(answer: Mapping[str, Any], composed: Composed) -> dict[str, Any]:
    """What an L-AVC record's fields say of each other; nothing where these are not asked."""
    if not {"edited_span", "edited_emotion", "instruction", "edited_caption"} <= answer.keys():
        return {}
    emotion = answer["edited_emotion"]
    return {
        "edited_span": " ".join(str(answer["caption"]).split()[:4]),
        "instruction": f"Please change the emotion of this image to {emotion}.",
        "edited_caption": _shorten(f"In a mood of {emotion}: {composed.summary}", 300),
    }


def _fill(schema: Mapping[str, Any], words: Sequence[str]) -> Any:
    if "enum" in schema:
        return next((word for word in words if word in schema["enum"]), schema["enum"][0])
    match schema.get("type", "string"):
        case "object":
            return {name: _fill(below, words) for name, below in schema.get("properties", {}).items()}
        case "array":
            count = min(max(len(words), schema.get("minItems", 0)), schema.get("maxItems", len(words)))
            return [_fill(schema.get("items", {}), (word,)) for word in islice(cycle(words), count)]
        case "integer" | "number" | "boolean" | "null" as kind:
            return {"boolean": False, "null": None}.get(kind, schema.get("minimum", 0))
        case _:
            return _shorten(words[0], schema.get("maxLength"))


def _shorten(sentence: str, longest: int | None) -> str:
    """Whole words only, closed by a full stop."""
    if longest is None or len(sentence) <= longest:
        return sentence
    return sentence[: max(0, longest - 1)].rpartition(" ")[0].rstrip(" ,") + "."
