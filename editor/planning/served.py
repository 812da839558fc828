"""Asks a served vision-language model what of a picture shall change, and what the edited picture shall show."""

import asyncio
import io
import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from PIL import Image

from editor.planning.regions import Box
from moodarchive.chat.answers import ChatAnswer, require_answered
from moodarchive.chat.client import ChatClient, ChatRequest, Message
from moodarchive.chat.prompt import PromptFile
from moodarchive.emotions.lexicon import load_lexicon
from moodarchive.emotions.taxonomy import CONTEXTS, Cell, words
from moodarchive.errors import EditError, RowError
from moodarchive.tables.keys import digest

MOST_BOXES = 4
STIMULI = 3
MOST_WORDS = 180
"""Of the prompt that description and stimuli make; the text tower's own bound is in tokens (``editor.job``)."""
_HINTED = 3
"""Phrases of the lexicon that the model is shown for each context."""
_LEAST_AREA = 0.001
_LONGEST = {"target_object": 60, "description": 700, "stimuli": 200, "prompt": 1200}
_SHORTEST = {"target_object": 2, "description": 20, "stimuli": 10, "prompt": 20}
_FORMS = (("target_object", "boxes", "description", "stimuli"), ("target_object", "boxes", "prompt"))
"""What an answer holds, and what one held before descriptions and stimuli were asked for."""
_LETTER = r'[^"\\\x00-\x1f\x7f]'
"""No control character, quotation mark or backslash: grammars match the pattern on the escaped text."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """An accepted answer; the boxes are one to four, the prompt is the description and then the stimuli."""

    target_object: str
    boxes: tuple[Box, ...]
    prompt: str


@dataclass(frozen=True, kw_only=True)
class ServedPlanner:
    """Which model is asked, where and how often; each attempt has a seed of its own."""

    server: str
    model: str
    """The name under which the server knows it."""
    prompt: str = "region_and_prompt"
    """A bundled prompt's name, or the path of a TOML file."""
    attempts: int = 3
    temperature: float = 0.2
    max_tokens: int = 512
    image_side: int = 672
    timeout_s: float = 300.0

    def plan(self, image: Image.Image, emotion: str, seed: int = 0) -> Plan:
        """The model's plan; RowError with the last kind once the attempts are spent, ServiceError when none answers."""
        prompt = PromptFile.load(
            self.prompt, files("editor.planning") / "prompts", system={}, hints={"emotion", "phrases"}
        )
        return asyncio.run(self._ask(prompt, shrunk_jpeg(image, self.image_side), emotion, seed))

    async def _ask(self, prompt: PromptFile, jpeg: bytes, emotion: str, seed: int) -> Plan:
        rejected, phrases = RowError("no_answer"), lexicon_phrases(emotion, seed)
        client = ChatClient(servers=(self.server,), in_flight=1, timeout_s=self.timeout_s, retries=2)
        async with client:
            for attempt in range(self.attempts):
                request = ChatRequest(
                    model=self.model,
                    messages=(
                        Message(role="system", text=prompt.system),
                        Message(
                            role="user", text=prompt.user.format(emotion=words(emotion), phrases=phrases), jpeg=jpeg
                        ),
                    ),
                    schema=answer_schema(),
                    max_tokens=self.max_tokens,
                    temperature=self.temperature,
                    seed=int(digest([seed, emotion, attempt])[:8], 16) & 0x7FFFFFFF,
                )
                try:
                    return read_answer(await client.ask(request))
                except RowError as error:
                    rejected = error
        raise rejected


def lexicon_phrases(emotion: str, seed: int) -> str:
    """Some phrases of each context for the emotion, which the seed chooses, as one line."""
    lexicon = load_lexicon()
    chosen = []
    for context in CONTEXTS:
        ranked = sorted(lexicon[Cell(emotion, context)], key=lambda phrase: digest([seed, phrase]))
        chosen += ranked[:_HINTED]
    return ", ".join(chosen)


def answer_schema() -> dict[str, Any]:
    """The JSON schema for the server's guided decoding; every length is bounded."""
    share = {"type": "number", "minimum": 0, "maximum": 1}
    box = {"type": "array", "items": share, "minItems": 4, "maxItems": 4}
    properties = {
        "target_object": _text_schema("target_object"),
        "boxes": {"type": "array", "items": box, "minItems": 1, "maxItems": MOST_BOXES},
        "description": _text_schema("description"),
        "stimuli": {
            "type": "array",
            "items": _text_schema("stimuli"),
            "minItems": STIMULI,
            "maxItems": STIMULI,
        },
    }
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _text_schema(field: str) -> dict[str, Any]:
    # the bounds stand in the pattern too, because servers that follow a pattern ignore the lengths beside it
    shortest, longest = _SHORTEST[field], _LONGEST[field]
    pattern = f"^[A-Za-z]{_LETTER}{{{shortest - 1},{longest - 1}}}$"
    return {"type": "string", "minLength": shortest, "maxLength": longest, "pattern": pattern}


def read_answer(answer: ChatAnswer) -> Plan:
    """The plan that an answer holds; a server may ignore the schema, so all is checked.

    RowError's kind says which rule it breaks: no_answer, refused, cut_off, not_json, wrong_schema, bad_text or bad_box.
    """
    values = read_fields(answer, *_FORMS)
    return Plan(
        target_object=_text(values["target_object"], "target_object"),
        boxes=_boxes(values["boxes"]),
        prompt=_text(values["prompt"], "prompt") if "prompt" in values else _prompt(values),
    )


def read_fields(answer: ChatAnswer, *forms: Sequence[str]) -> dict[str, Any]:
    """The JSON object of an answer that has the fields of one of ``forms`` alone; RowError as ``read_answer`` says."""
    require_answered(answer)
    try:
        values = json.loads(answer.text)
    except (ValueError, RecursionError) as error:
        raise RowError("not_json", f"{error}: {answer.text[:120]!r}") from None
    if not isinstance(values, dict) or set(values) not in map(set, forms):
        raise RowError("wrong_schema", f"not the fields {', '.join(forms[0])}: {answer.text[:120]!r}")
    return values


def _prompt(values: dict[str, Any]) -> str:
    """One line of at most MOST_WORDS words; a sentence that was said before is left out."""
    stimuli = values["stimuli"]
    if not isinstance(stimuli, list) or len(stimuli) != STIMULI:
        raise RowError("wrong_schema", f"stimuli is no list of {STIMULI} sentences")
    texts = [_text(values["description"], "description"), *(_text(each, "stimuli") for each in stimuli)]
    sentences = [sentence for text in texts for sentence in split_sentences(text)]
    return keep_sentences(list(dict.fromkeys(sentences)), lambda prompt: len(prompt.split()) <= MOST_WORDS)


def split_sentences(text: str) -> list[str]:
    """The sentences of one line, each with a full stop at its end."""
    sentences = re.split(r"(?<=[.!?])\s+", text.strip())
    return [sentence if sentence[-1] in ".!?" else f"{sentence}." for sentence in sentences if sentence]


def keep_sentences(sentences: Sequence[str], fits: Callable[[str], bool]) -> str:
    """As many sentences from the first on as fit as one line; the first one always stays."""
    kept = len(sentences)
    while kept > 1 and not fits(" ".join(sentences[:kept])):
        kept -= 1
    return " ".join(sentences[:kept])


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise RowError("wrong_schema", f"{field} is no text")
    text = " ".join(value.split())
    if not _SHORTEST[field] <= len(text) <= _LONGEST[field]:
        raise RowError("bad_text", f"{field} has {len(text)} letters")
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Co", "Cn") for letter in text):
        raise RowError("bad_text", f"{field} holds control characters")
    return text


def _boxes(value: object) -> tuple[Box, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_BOXES:
        raise RowError("wrong_schema", "no list of one to four boxes")
    return tuple(map(_box, value))


def _box(value: object) -> Box:
    if not isinstance(value, list) or len(value) != 4:
        raise RowError("wrong_schema", "a box is no list of four numbers")
    if not all(type(each) in (int, float) for each in value):
        raise RowError("wrong_schema", "a box holds something else than numbers")
    try:
        box = Box(*map(float, value))
    except (EditError, OverflowError):
        raise RowError("bad_box", f"{str(value)[:80]} is no box in [0, 1]") from None
    if box.area < _LEAST_AREA:
        raise RowError("bad_box", f"{value} is too small")
    return box


def shrunk_jpeg(image: Image.Image, longest_side: int) -> bytes:
    """What is sent: no larger than the model looks at, without metadata."""
    small = image.copy()
    small.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    held = io.BytesIO()
    small.save(held, "JPEG", quality=90)
    return held.getvalue()
