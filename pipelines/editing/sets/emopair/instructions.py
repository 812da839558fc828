"""Generic instructions of each class, written by a served model under a schema: what people then rank."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from editor.planning.served import read_fields
from moodarchive.chat.client import ChatClient, ChatRequest, Message
from moodarchive.emotions.taxonomy import MIKELS_EIGHT
from moodarchive.errors import DatasetError, RowError
from moodarchive.tables.keys import digest

AT_ONCE = 10
"""Instructions of one answer; the paper's 50 a class take five."""
_ATTEMPTS = 3
"""Answers in a row that bring nothing new before a class is given up."""
_PATTERN = r'^[A-Za-z][^"\\\x00-\x1f\x7f]{4,119}$'
_SYSTEM = (
    "You write short instructions for a picture editor. Each names one visible change that fits many pictures and "
    "makes them evoke a given emotion, such as: add dark clouds. Plain words, no quotation marks, twelve words at most."
    ' You answer with one JSON object: {"instructions": [...]}.'
)


def write_instructions(
    path: Path, *, server: str, model: str, count: int, seed: int, tell: Callable[[str], None], timeout_s: float = 300
) -> None:
    """Writes the file of ``read_instructions``, class → texts with score 0; classes that it has in full stay.

    Saved after each class, so that a killed call goes on. DatasetError for a class for which too few were written.
    """
    classes: dict[str, list[dict[str, Any]]] = json.loads(path.read_bytes()) if path.exists() else {}
    for name in MIKELS_EIGHT:
        if len(classes.get(name, ())) >= count:
            continue
        texts = asyncio.run(_ask_class(name, server=server, model=model, count=count, seed=seed, timeout_s=timeout_s))
        classes[name] = [{"text": text, "score": 0} for text in texts]
        draft = path.with_name(f"{path.name}.draft")
        draft.write_text(json.dumps(classes, indent=1, ensure_ascii=False) + "\n", "utf-8")
        draft.replace(path)
        tell(f"{name}: {len(texts)} instructions")


async def _ask_class(name: str, *, server: str, model: str, count: int, seed: int, timeout_s: float) -> list[str]:
    texts: dict[str, None] = {}
    idle = asked = 0
    why = "nothing new"
    async with ChatClient(servers=(server,), in_flight=1, timeout_s=timeout_s, retries=2) as client:
        while len(texts) < count:
            known = f" Others than: {'; '.join(texts)}." if texts else ""
            request = ChatRequest(
                model=model,
                messages=(
                    Message(role="system", text=_SYSTEM),
                    Message(role="user", text=f"Write {AT_ONCE} instructions for the emotion {name}.{known}"),
                ),
                schema=answer_schema(),
                max_tokens=1024,
                temperature=0.8,
                seed=int(digest([seed, name, asked])[:8], 16) & 0x7FFFFFFF,
            )
            asked, before = asked + 1, len(texts)
            try:
                texts |= dict.fromkeys(_sound(read_fields(await client.ask(request), ("instructions",))))
            except RowError as error:
                why = error.kind
            idle = 0 if len(texts) > before else idle + 1
            if idle == _ATTEMPTS:
                raise DatasetError(
                    f"{model} wrote {len(texts)} of {count} instructions for {name} ({why}); remedy: fewer, or another "
                    "model; the classes before are kept"
                )
    return list(texts)[:count]


def answer_schema() -> dict[str, Any]:
    """For the server's guided decoding; every length is bounded."""
    text = {"type": "string", "minLength": 5, "maxLength": 120, "pattern": _PATTERN}
    array = {"type": "array", "items": text, "minItems": 1, "maxItems": AT_ONCE}
    return {
        "type": "object", "properties": {"instructions": array}, "required": ["instructions"],
        "additionalProperties": False,
    }  # fmt: skip


def _sound(values: dict[str, Any]) -> list[str]:
    """A server may ignore the schema: what is no short text is passed over."""
    import re

    given = values["instructions"]
    if not isinstance(given, list):
        raise RowError("wrong_schema", "instructions is no list")
    return [" ".join(text.split()) for text in given if isinstance(text, str) and re.match(_PATTERN, text)]
