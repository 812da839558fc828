"""Which of Mikels' eight a served vision-language model sees in an edited picture: EPEM's column G."""

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from PIL import Image

from editor.evaluation.frames import Frames
from editor.evaluation.measure import Column, Values
from editor.planning.served import read_fields, shrunk_jpeg
from moodarchive.chat.client import ChatClient, ChatRequest, Message
from moodarchive.emotions.taxonomy import MIKELS, MIKELS_EIGHT
from moodarchive.errors import MissingWeightsError, RowError
from moodarchive.tables.keys import digest

_SYSTEM = (
    "You look at pictures and say which emotion each evokes in most people. You answer with one JSON object: "
    f'{{"emotion": one of {", ".join(MIKELS_EIGHT)}}}.'
)
_USER = "Which emotion does this picture evoke?"
_ATTEMPTS = 3
_SIDE = 672


@dataclass(eq=False)
class ServedChoice:
    """1 where the model picks the wanted emotion, 0 where another, None where it gives no answer.

    None, too, for an emotion without a place among the eight.

    ServiceError when the server does not answer.
    """

    server: str = ""
    model: str = ""
    timeout_s: float = 300.0
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="served_named",
            title="Named by the served model ×10²",
            short="served model ×10²",
            better="higher",
            scale=1e2,
        ),
    )

    def load(self) -> str:
        """The model's name and the question; MissingWeightsError without a server."""
        if not self.server or not self.model:
            raise MissingWeightsError("the served model's choice needs --server and --server-model")
        return digest(["served choice 1", self.model, _SYSTEM, _USER])

    def of(self, frames: Frames) -> Values:
        """One value."""
        wanted = MIKELS.get(frames.emotion, frames.emotion)
        if wanted not in MIKELS_EIGHT:
            return (None,)
        chosen = asyncio.run(self._ask(shrunk_jpeg(Image.fromarray(frames.edited), _SIDE)))
        return (None if chosen is None else float(chosen == wanted),)

    async def _ask(self, jpeg: bytes) -> str | None:
        emotion = {"type": "string", "enum": list(MIKELS_EIGHT)}
        schema = {"type": "object", "properties": {"emotion": emotion}, "required": ["emotion"],
                  "additionalProperties": False}  # fmt: skip
        async with ChatClient(servers=(self.server,), in_flight=1, timeout_s=self.timeout_s, retries=2) as client:
            for attempt in range(_ATTEMPTS):
                request = ChatRequest(
                    model=self.model,
                    messages=(
                        Message(role="system", text=_SYSTEM),
                        Message(role="user", text=_USER, jpeg=jpeg),
                    ),
                    schema=schema,
                    max_tokens=64,
                    temperature=0.0,
                    seed=attempt,
                )
                try:
                    chosen = read_fields(await client.ask(request), ("emotion",))["emotion"]
                except RowError:
                    continue
                if isinstance(chosen, str) and chosen.strip().lower() in MIKELS_EIGHT:
                    return chosen.strip().lower()
        return None
