"""Asks a served language model what a line of the studio's conversation wants."""

import asyncio
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, get_args

from editor.planning.instructions import LONGEST, Kind, Wish
from editor.planning.served import read_fields
from moodarchive.chat.answers import ChatAnswer
from moodarchive.chat.client import ChatClient, ChatRequest, Message
from moodarchive.chat.prompt import PromptFile
from moodarchive.emotions.taxonomy import TARGETS
from moodarchive.errors import RowError
from moodarchive.tables.keys import digest

_NONE, _EVERYWHERE = "none", "everywhere"
_FIELDS = ("kind", "emotion", "source", "change", "region")
_LONGEST_REGION = 40


@dataclass(frozen=True, kw_only=True)
class ServedWishReader:
    """Which model is asked, where and how often."""

    server: str
    model: str
    attempts: int = 2
    timeout_s: float = 60.0

    def read(self, text: str) -> Wish:
        """The model's reading; RowError once the attempts are spent, ServiceError when none answers."""
        prompt = PromptFile.load(
            "wish", files("editor.planning") / "prompts", system={"emotions": ", ".join(TARGETS)}, hints={"wish"}
        )
        return asyncio.run(self._ask(prompt, " ".join(text.split())[:LONGEST]))

    async def _ask(self, prompt: PromptFile, text: str) -> Wish:
        rejected = RowError("no_answer")
        async with ChatClient(servers=(self.server,), in_flight=1, timeout_s=self.timeout_s, retries=1) as client:
            for attempt in range(self.attempts):
                request = ChatRequest(
                    model=self.model,
                    messages=(
                        Message(role="system", text=prompt.system),
                        Message(role="user", text=prompt.user.format(wish=text)),
                    ),
                    schema=wish_schema(),
                    max_tokens=120,
                    temperature=0.0,
                    seed=int(digest([text, attempt])[:8], 16) & 0x7FFFFFFF,
                )
                try:
                    return read_wish_answer(await client.ask(request))
                except RowError as error:
                    rejected = error
        raise rejected


def wish_schema() -> dict[str, Any]:
    """The JSON schema for the server's guided decoding."""
    emotion = {"type": "string", "enum": [*TARGETS, _NONE]}
    properties = {
        "kind": {"type": "string", "enum": list(get_args(Kind))},
        "emotion": emotion,
        "source": emotion,
        "change": {"type": "integer", "enum": [-1, 0, 1]},
        "region": {"type": "string", "pattern": f"^[A-Za-z][A-Za-z -]{{1,{_LONGEST_REGION - 1}}}$"},
    }
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def read_wish_answer(answer: ChatAnswer) -> Wish:
    """The wish that an answer holds; a server may ignore the schema, so all is checked. RowError as for a plan."""
    values = read_fields(answer, _FIELDS)
    kind, emotion, source, change, region = (values[name] for name in _FIELDS)
    if kind not in get_args(Kind) or change not in (-1, 0, 1) or isinstance(change, bool):
        raise RowError("wrong_schema", f"kind = {kind!r}, change = {change!r}")
    if any(name not in (*TARGETS, _NONE) for name in (emotion, source)):
        raise RowError("wrong_schema", f"emotion = {emotion!r}, source = {source!r}")
    if (kind == "edit") != (emotion != _NONE):
        raise RowError("wrong_schema", f"kind = {kind!r} with the emotion {emotion!r}")
    if not isinstance(region, str) or len(region) > _LONGEST_REGION or not region.isprintable():
        raise RowError("bad_text", "the region is no short text")
    if kind in ("stronger", "weaker"):
        change = 1 if kind == "stronger" else -1
    of_region = {"": "", _NONE: "", _EVERYWHERE: "*"}.get(region.strip().casefold(), region.strip())
    return Wish(
        kind=kind,
        emotion="" if emotion == _NONE else emotion,
        source="" if source == _NONE else source,
        change=change if kind != "undo" else 0,
        region=of_region if kind != "undo" else "",
    )
