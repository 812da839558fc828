"""Asks for one picture's five sentences until an answer is accepted or the attempts are spent."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from annotate.answer import Annotation, answer_schema, read_answer
from annotate.picture import shrunk_jpeg
from annotate.prompt import Asked, Prompt
from moodarchive.chat.client import ChatAnswer, ChatClient, ChatRequest, Message, Timing
from moodarchive.errors import RowError
from moodarchive.keys import digest
from moodarchive.tables.schemas import CAPTIONS, empty_row

LOGGER = logging.getLogger("moodarchive.caption")

_SHRINK = 0.75
"""Each attempt looks at a smaller picture: fewer tokens fit a short context, and another view breaks repetitions."""

Row = dict[str, object]


def attempt_seed(seed: int, key: str, attempt: int) -> int:
    """The sampling seed, below 2³¹, of a row's attempt (from 0): equal in every run, unlike between rows."""
    return int(digest([seed, key, attempt])[:8], 16) & 0x7FFFFFFF


@dataclass
class _Tally:
    """What the attempts of one row have come to so far."""

    attempts: int = 0
    seed: int | None = None
    model: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, answer: ChatAnswer) -> None:
        self.model = answer.model
        self.prompt_tokens += answer.prompt_tokens
        self.completion_tokens += answer.completion_tokens


@dataclass(frozen=True, kw_only=True)
class Describer:
    """How pictures are described: the model, the prompt and the limits."""

    model: str
    prompt: Prompt
    max_tokens: int
    temperature: float
    seed: int
    max_attempts: int
    image_side: int
    count_tokens: Callable[[str], int]

    async def row(
        self, client: ChatClient, item: Mapping[str, Any], jpeg: bytes, turn: int = 0, timing: Timing | None = None
    ) -> Row:
        """The picture's row of the captions table; ServiceError when the servers do not answer.

        Pictures of a lower ``turn`` are asked about first; ``timing`` gets the times.
        """
        key = str(item["key"])
        best = item["queries"][0]  # the query that ranked the picture highest says most about it
        asked = self.prompt.asks(best["emotion"], best["context"], best["phrase"])
        tally = _Tally()
        kind = ""
        for attempt in range(self.max_attempts):
            try:
                picture = await asyncio.to_thread(shrunk_jpeg, jpeg, int(self.image_side * _SHRINK**attempt))
                tally.attempts = attempt + 1
                tally.seed = attempt_seed(self.seed, key, attempt)
                answer = await client.ask(self._request(asked, picture, tally.seed), turn, timing)
                tally.add(answer)
                return self._row(key, tally, read_answer(answer, asked, self.count_tokens))
            except RowError as rejection:
                kind = rejection.kind
                LOGGER.info("%s: attempt %d of %d: %s: %s", key, attempt + 1, self.max_attempts, kind, rejection)
        return self._row(key, tally, None, kind)

    def _request(self, asked: Asked, jpeg: bytes, seed: int) -> ChatRequest:
        return ChatRequest(
            model=self.model,
            messages=(
                Message(role="system", text=asked.system),
                Message(role="user", text=asked.user, jpeg=jpeg),
            ),
            schema=answer_schema(),
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=seed,
        )

    def _row(self, key: str, tally: _Tally, annotation: Annotation | None, error: str | None = None) -> Row:
        row = empty_row(
            CAPTIONS,
            key=key,
            model=tally.model,
            prompt_hash=self.prompt.hash,
            seed=tally.seed,
            attempts=tally.attempts,
            prompt_tokens=tally.prompt_tokens,
            completion_tokens=tally.completion_tokens,
            status="failed" if annotation is None else "ok",
            error=error,
        )
        if annotation is not None:
            row.update(
                summary=annotation.summary,
                stimuli=list(annotation.stimuli),
                assessment=annotation.assessment,
                emotions=list(annotation.emotions),
            )
        return row
