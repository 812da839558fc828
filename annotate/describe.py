"""Asks for one picture's five sentences until an answer is accepted or the attempts are spent."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annotate.answer import Annotation, answer_schema, read_answer
from annotate.picture import ask_about_plain_picture, shrink_jpeg
from annotate.prompt import FilledPrompt, Prompt
from moodarchive.chat.answers import ChatAnswer
from moodarchive.chat.client import ChatClient, ChatRequest, Message, ServerRejection, Timing
from moodarchive.chat.service_watch import ServiceWatch
from moodarchive.errors import RowError
from moodarchive.tables.keys import digest
from moodarchive.tables.schemas import CAPTIONS, empty_row

LOGGER = logging.getLogger("moodarchive.caption")

_SHRINK = 0.75
"""Each attempt looks at a smaller picture: fewer tokens fit a short context, and another view breaks repetitions."""

Row = dict[str, object]


def picture_watch() -> ServiceWatch:
    """What tells a service without vision from a picture that is broken."""
    return ServiceWatch(ask_about_plain_picture, "picture")


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
class Rejected:
    """The question that a server turned down for the last time, and with what words."""

    request: ChatRequest
    rejection: ServerRejection


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A picture's row of the captions table; ``rejected`` where a server turned every question about it down.

    ``answered``: a server has answered, well or not; ``is_kept``: the row is one of an earlier time.
    """

    row: Row
    rejected: Rejected | None = None
    answered: bool = False
    is_kept: bool = False


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

    async def rows(self, client: ChatClient, pictures: Sequence[tuple[Mapping[str, Any], bytes]]) -> list[Row]:
        """The rows of the captions table for some items and their JPEGs, asked about at once.

        ServiceError when the servers do not answer, or turn every picture down.
        """
        watch = picture_watch()
        outcomes = await asyncio.gather(*(self.describe(client, watch, item, jpeg) for item, jpeg in pictures))
        await watch.settle(client)
        return [outcome.row for outcome in outcomes]

    async def describe(
        self,
        client: ChatClient,
        watch: ServiceWatch,
        item: Mapping[str, Any],
        jpeg: bytes,
        *,
        turn: int = 0,
        timing: Timing | None = None,
    ) -> Outcome:
        """Asks about one picture; ServiceError when the servers do not answer, or turn every picture down.

        Pictures of a lower ``turn`` are asked about first; ``timing`` gets the times.
        """
        key = str(item["key"])
        best = item["queries"][0]  # the query that ranked the picture highest says most about it
        filled = self.prompt.fill(best["emotion"], best["context"], best["phrase"])
        tally = _Tally()
        kind, answered, rejected = "", False, None
        for attempt in range(self.max_attempts):
            try:
                picture = await asyncio.to_thread(shrink_jpeg, jpeg, int(self.image_side * _SHRINK**attempt))
                tally.attempts = attempt + 1
                tally.seed = attempt_seed(self.seed, key, attempt)
                request = self._request(filled, picture, tally.seed)
                answer = await client.ask(request, turn, timing)
                answered = True
                watch.note_answer()
                tally.add(answer)
                return Outcome(row=self._row(key, tally, read_answer(answer, filled, self.count_tokens)), answered=True)
            except RowError as rejection:
                kind = rejection.kind
                LOGGER.info("%s: attempt %d of %d: %s: %s", key, attempt + 1, self.max_attempts, kind, rejection)
                if isinstance(rejection, ServerRejection):
                    rejected = Rejected(request=request, rejection=rejection)
                    if attempt == 0:
                        await watch.note_rejection(client, request, rejection)
                    if kind == "empty_reply":  # the client has asked for it again and again
                        break
        return Outcome(
            row=self._row(key, tally, None, kind), rejected=None if answered else rejected, answered=answered
        )

    def _request(self, filled: FilledPrompt, jpeg: bytes, seed: int) -> ChatRequest:
        return ChatRequest(
            model=self.model,
            messages=(
                Message(role="system", text=filled.system),
                Message(role="user", text=filled.user, jpeg=jpeg),
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
                nudity=annotation.nudity,
                gore=annotation.gore,
            )
        return row
