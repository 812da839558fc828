"""Asks a served model about one picture until an answer is accepted or the attempts are spent."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from annotate.picture import ask_about_plain_picture, shrink_jpeg
from moodarchive.chat.answers import ChatAnswer
from moodarchive.chat.client import ChatClient, ChatRequest, Message, ServerRejection, Timing
from moodarchive.chat.service_watch import ServiceWatch
from moodarchive.errors import RowError
from moodarchive.tables.keys import digest

LOGGER = logging.getLogger("moodarchive.caption")
T = TypeVar("T")

_SHRINK = 0.75
"""Each attempt looks at a smaller picture: fewer tokens fit a short context, and another view breaks repetitions."""


def picture_watch() -> ServiceWatch:
    """What tells a service without vision from a picture that is broken."""
    return ServiceWatch(ask_about_plain_picture, "picture")


def attempt_seed(seed: int, key: str, attempt: int) -> int:
    """The sampling seed, below 2³¹, of a row's attempt (from 0): equal in every run, unlike between rows."""
    return int(digest([seed, key, attempt])[:8], 16) & 0x7FFFFFFF


@dataclass(frozen=True, kw_only=True)
class Question(Generic[T]):
    """The turns, the schema that the server must hold the answer to, and what reads it; ``read`` may raise RowError."""

    system: str
    user: str
    schema: Mapping[str, Any]
    read: Callable[[ChatAnswer], T]


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """The question that a server turned down for the last time, and with what words."""

    request: ChatRequest
    rejection: ServerRejection


@dataclass(kw_only=True)
class Reply(Generic[T]):
    """What became of a question: ``value`` None where no answer was accepted, ``error`` then the last kind.

    ``answered``: a server has answered, well or not; ``rejected`` where one turned every attempt down.
    """

    value: T | None = None
    error: str = ""
    attempts: int = 0
    seed: int | None = None
    model: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    answered: bool = False
    rejected: Rejected | None = None

    def add(self, answer: ChatAnswer) -> None:
        """Counts an answer, well or not."""
        self.answered = True
        self.model = answer.model
        self.prompt_tokens += answer.prompt_tokens
        self.completion_tokens += answer.completion_tokens

    def account(self) -> dict[str, object]:
        """The columns of a row that say who answered, and at what cost."""
        names = ("model", "seed", "attempts", "prompt_tokens", "completion_tokens")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class PictureAsker:
    """The model that is asked, and the limits."""

    model: str
    max_tokens: int
    temperature: float
    seed: int
    max_attempts: int
    image_side: int

    async def ask(
        self,
        client: ChatClient,
        watch: ServiceWatch,
        key: str,
        jpeg: bytes,
        question: Question[T],
        *,
        turn: int = 0,
        timing: Timing | None = None,
    ) -> Reply[T]:
        """Asks about one picture; ServiceError when the servers do not answer, or turn every picture down.

        Pictures of a lower ``turn`` are asked about first; ``timing`` gets the times.
        """
        reply: Reply[T] = Reply()
        rejected = None
        for attempt in range(self.max_attempts):
            try:
                picture = await asyncio.to_thread(shrink_jpeg, jpeg, int(self.image_side * _SHRINK**attempt))
                reply.attempts = attempt + 1
                reply.seed = attempt_seed(self.seed, key, attempt)
                request = self._request(question, picture, reply.seed)
                answer = await client.ask(request, turn, timing)
                watch.note_answer()
                reply.add(answer)
                reply.value = question.read(answer)
                return reply
            except RowError as rejection:
                reply.error = rejection.kind
                LOGGER.info(
                    "%s: attempt %d of %d: %s: %s", key, attempt + 1, self.max_attempts, rejection.kind, rejection
                )
                if isinstance(rejection, ServerRejection):
                    rejected = Rejected(request=request, rejection=rejection)
                    if attempt == 0:
                        await watch.note_rejection(client, request, rejection)
                    if rejection.kind == "empty_reply":  # the client has asked for it again and again
                        break
        reply.rejected = None if reply.answered else rejected
        return reply

    def _request(self, question: Question[T], jpeg: bytes, seed: int) -> ChatRequest:
        return ChatRequest(
            model=self.model,
            messages=(
                Message(role="system", text=question.system),
                Message(role="user", text=question.user, jpeg=jpeg),
            ),
            schema=question.schema,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=seed,
        )
