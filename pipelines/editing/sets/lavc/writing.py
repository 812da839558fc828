"""The words of L-AVC's records: asked of the served model under a schema, with every rule of an answer."""

import asyncio
import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

import pyarrow as pa

from annotate.asking import PictureAsker, Question, picture_watch
from editor.planning.instructions import read_instruction
from moodarchive.chat.answers import ChatAnswer, find_object, require_answered
from moodarchive.chat.client import ChatClient
from moodarchive.chat.prompt import PromptFile
from moodarchive.chat.service_watch import ServiceWatch
from moodarchive.emotions.taxonomy import MIKELS, MIKELS_EIGHT
from moodarchive.errors import EditError, RowError
from moodarchive.running.stage import Readers, join_rows
from moodarchive.tables.schemas import LAVC_REQUESTS, LAVC_TEXTS, as_batch, empty_row
from pipelines.editing.sets.lavc.pictures import read_archive_pictures, source_jpeg
from pipelines.editing.sets.lavc.requests import GONE
from pipelines.editing.sets.lavc.settings import WriterSettings

Row = dict[str, Any]
_LENGTHS = {"caption": (10, 300), "edited_span": (2, 160), "instruction": (10, 300), "edited_caption": (10, 300)}
"""Fewest and most letters of each text."""
_LETTER = r'[^"\\\x00-\x1f\x7f]'
"""No control character, quotation mark or backslash: grammars match the pattern on the escaped text."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """An accepted answer; names as in the records."""

    element: str
    caption: str
    emotion: str
    edited_span: str
    instruction: str
    edited_caption: str
    edited_emotion: str


def load_writer_prompt(name_or_path: str) -> PromptFile:
    """A prompt of pipelines/editing/sets/lavc/prompts by its name, or a TOML file by its path."""
    return PromptFile.load(
        name_or_path, files("pipelines.editing.sets.lavc") / "prompts", system={}, hints={"emotion", "targets"}
    )


@dataclass(kw_only=True)
class TextWriter:
    """Writes the texts of a part; one client a worker, as many requests at a time as its servers take."""

    settings: WriterSettings
    prompt: PromptFile
    seed: int
    folder: str
    archive: str

    def __call__(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        """ServiceError when the servers do not answer, or turn every picture down; nothing of the part is kept then."""
        for (requests,) in join_rows(readers, LAVC_REQUESTS.name):
            yield as_batch(LAVC_TEXTS, asyncio.run(self._write(requests)))

    async def _write(self, requests: list[Row]) -> list[Row]:
        pictures = read_archive_pictures(self.archive, requests) if self.archive else {}
        if all("drawn" in json.loads(request["recipe"]) for request in requests):
            return [_drawn_row(request) for request in requests]
        watch = picture_watch()
        async with self.settings.client() as client:
            jobs = (self._write_row(client, watch, request, pictures) for request in requests)
            rows = await asyncio.gather(*jobs)
            await watch.settle(client)
        return list(rows)

    async def _write_row(
        self, client: ChatClient, watch: ServiceWatch, request: Row, pictures: dict[str, bytes]
    ) -> Row:
        if GONE in json.loads(request["recipe"]):
            return empty_row(LAVC_TEXTS, key=request["key"], element=request["element"], status=GONE)
        try:
            jpeg = await asyncio.to_thread(source_jpeg, request, self.folder, pictures)
        except RowError as error:
            return _failed_row(request, error.kind)
        reply = await self._asker.ask(client, watch, request["key"], jpeg, question_of(request, self.prompt))
        row = _failed_row(request, reply.error)
        if reply.value is not None:
            row |= {**vars(reply.value), "status": "ok", "error": None}
        return row | reply.account() | {"prompt_hash": self.prompt.hash}

    @cached_property
    def _asker(self) -> PictureAsker:
        return PictureAsker(
            model=self.settings.model,
            max_tokens=self.settings.max_tokens,
            temperature=self.settings.temperature,
            seed=self.seed,
            max_attempts=self.settings.max_attempts,
            image_side=self.settings.image_side,
        )


def _failed_row(request: Row, error: str) -> Row:
    return empty_row(LAVC_TEXTS, key=request["key"], element=request["element"], status="failed", error=error)


def _drawn_row(request: Row) -> Row:
    from pipelines.demo.pairs.captions import drawn_caption, drawn_request, mood_words

    recipe = json.loads(request["recipe"])
    (kind, place, _), before, after = recipe["drawn"], recipe["source"][0], recipe["target"][0]
    asked = drawn_request(kind, place, before, after)
    return empty_row(
        LAVC_TEXTS,
        key=request["key"],
        element=request["element"],
        caption=asked.caption,
        emotion=asked.emotion,
        edited_span=mood_words(kind, before),
        instruction=asked.instruction,
        edited_caption=drawn_caption(kind, place, after),
        edited_emotion=asked.target_emotion,
        status="ok",
    )


def question_of(request: Row, prompt: PromptFile) -> Question[Words]:
    """What is asked of a request's picture; what is known beforehand is told, not asked."""
    emotion, elements = request["emotion"], request["elements"]
    targets = [request["target"]] if request["target"] else [name for name in MIKELS_EIGHT if name != emotion]
    told = emotion or f"not known; say which of {', '.join(MIKELS_EIGHT)} it is"
    return Question(
        system=prompt.system,
        user=prompt.user.format(emotion=told, targets=", ".join(targets)),
        schema=answer_schema(elements, [] if emotion else list(MIKELS_EIGHT), targets),
        read=lambda answer: read_words(answer, elements=elements, emotion=emotion, targets=targets),
    )


def answer_schema(elements: list[str], emotions: list[str], targets: list[str]) -> dict[str, Any]:
    """For the server's guided decoding, in the order of writing; ``emotions`` empty: the emotion is not asked."""
    properties: dict[str, Any] = {name: _text_schema(name) for name in ("caption", "edited_span")}
    properties["element"] = {"type": "string", "enum": elements}
    if emotions:
        properties["emotion"] = {"type": "string", "enum": emotions}
    properties["edited_emotion"] = {"type": "string", "enum": targets}
    properties |= {name: _text_schema(name) for name in ("instruction", "edited_caption")}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _text_schema(name: str) -> dict[str, Any]:
    # the bounds stand in the pattern too, because servers that follow a pattern ignore the lengths beside it
    shortest, longest = _LENGTHS[name]
    pattern = f"^[A-Za-z]{_LETTER}{{{shortest - 1},{longest - 1}}}$"
    return {"type": "string", "minLength": shortest, "maxLength": longest, "pattern": pattern}


def read_words(answer: ChatAnswer, *, elements: list[str], emotion: str | None, targets: list[str]) -> Words:
    """The words that an answer holds; a server may ignore the schema, so all is checked.

    RowError's kind says which rule it breaks: no_answer, cut_off, refused, not_json, wrong_schema, bad_text,
    unknown_word, same_emotion, span_not_in_caption, same_caption or other_emotion.
    """
    values = _fields(answer)
    if set(values) - {"emotion"} != {"caption", "element", "edited_emotion", *_LENGTHS} or (
        not emotion and "emotion" not in values
    ):
        raise RowError("wrong_schema", f"the answer has other fields: {answer.text[:120]!r}")
    words = Words(
        element=_one_of(values["element"], elements),
        emotion=emotion or _one_of(values["emotion"], list(MIKELS_EIGHT)),
        edited_emotion=_one_of(values["edited_emotion"], targets),
        **{name: _text(values[name], name) for name in _LENGTHS},
    )
    if words.emotion == words.edited_emotion:
        raise RowError("same_emotion", f"{words.emotion} is to become itself")
    if words.edited_span.casefold() not in words.caption.casefold():
        raise RowError("span_not_in_caption", f"{words.edited_span!r} is no part of {words.caption!r}")
    if words.edited_caption.casefold() == words.caption.casefold():
        raise RowError("same_caption", "the edited caption is the caption")
    _check_instruction(words)
    return words


def _fields(answer: ChatAnswer) -> dict[str, Any]:
    require_answered(answer)
    try:
        return find_object(answer.text)
    except (ValueError, RecursionError) as error:
        raise RowError("not_json", f"{error}: {answer.text[:120]!r}") from None


def _one_of(value: object, legal: list[str]) -> str:
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in legal:
        raise RowError("unknown_word", f"{str(value)[:60]!r} is none of {', '.join(legal)}")
    return word


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise RowError("wrong_schema", f"{name} is no text")
    text, (shortest, longest) = " ".join(value.split()), _LENGTHS[name]
    if not shortest <= len(text) <= longest:
        raise RowError("bad_text", f"{name} has {len(text)} letters, legal are {shortest} to {longest}")
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Co", "Cn") for letter in text):
        raise RowError("bad_text", f"{name} holds control characters")
    return text


def _check_instruction(words: Words) -> None:
    """An edit takes its emotion from the instruction, so that it must name the right one, and no other to go to."""
    try:
        asked = read_instruction(words.instruction)
    except EditError as error:
        raise RowError("other_emotion", str(error)) from None
    if MIKELS.get(asked.target, asked.target) != words.edited_emotion:
        raise RowError("other_emotion", f"the instruction asks for {asked.target}, not {words.edited_emotion}")
