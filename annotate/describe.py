"""Asks for one picture's five sentences until an answer is accepted or the attempts are spent."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annotate.answer import Annotation, answer_schema, read_answer
from annotate.asking import PictureAsker, Question, Rejected, Reply, picture_watch
from annotate.prompt import Prompt
from moodarchive.chat.client import ChatClient, Timing
from moodarchive.chat.service_watch import ServiceWatch
from moodarchive.tables.schemas import CAPTIONS, empty_row

Row = dict[str, object]


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
        question = Question(
            system=filled.system,
            user=filled.user,
            schema=answer_schema(),
            read=lambda answer: read_answer(answer, filled, self.count_tokens),
        )
        reply = await self._asker.ask(client, watch, key, jpeg, question, turn=turn, timing=timing)
        return Outcome(row=self._row(key, reply), rejected=reply.rejected, answered=reply.answered)

    @property
    def _asker(self) -> PictureAsker:
        return PictureAsker(
            model=self.model,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=self.seed,
            max_attempts=self.max_attempts,
            image_side=self.image_side,
        )

    def _row(self, key: str, reply: Reply[Annotation]) -> Row:
        annotation = reply.value
        row = empty_row(
            CAPTIONS,
            key=key,
            prompt_hash=self.prompt.hash,
            **reply.account(),
            status="failed" if annotation is None else "ok",
            error=None if annotation else reply.error,
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
