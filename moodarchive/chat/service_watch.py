"""Tells a service that turns every question down from questions that a service turns down."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from moodarchive.chat.client import ChatClient, ChatRequest, ServerRejection
from moodarchive.errors import RowError, ServiceError

LOGGER = logging.getLogger("moodarchive.chat")

IN_A_ROW = 5
"""So many questions turned down, none answered between them, are looked into."""


@dataclass
class ServiceWatch:
    """Counts the questions that were turned down in a row; ``subject`` is what each is about, such as a picture.

    One may be at fault itself, and is then a failure of its own; a server without vision, chat template or a grammar
    that it understands turns all of them down, and that must not be recorded as theirs. ``make_plain`` makes of a
    request one of the same form that no sound server turns down, which tells the two apart.
    """

    make_plain: Callable[[ChatRequest], ChatRequest]
    subject: str
    _count: int = 0
    _latest: tuple[ChatRequest, ServerRejection] | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def note_answer(self) -> None:
        """The service answered, be it badly."""
        self._count, self._latest = 0, None

    async def note_rejection(self, client: ChatClient, request: ChatRequest, rejection: ServerRejection) -> None:
        """A question was turned down. ServiceError when a plain one is, too, once it is worth asking."""
        self._count += 1
        self._latest = (request, rejection)
        if self._count >= IN_A_ROW:
            await self.require_service(client, request, rejection)

    async def settle(self, client: ChatClient) -> None:
        """At the end of some questions: looks into those turned down last, however few. ServiceError as above."""
        if self._latest is not None:
            await self.require_service(client, *self._latest)

    async def require_service(self, client: ChatClient, request: ChatRequest, rejection: ServerRejection) -> None:
        """ServiceError, with the server's words, when it turns a plain question down too."""
        async with self._lock:
            if not self._count:
                return
            try:
                await client.ask(self.make_plain(request))
            except ServerRejection as error:
                raise ServiceError(
                    f"the server turns every {self.subject} down, also a plain one: {error}; nothing of this is "
                    "recorded; remedy: mend what the server names, see docs/captioning.md, then run again"
                ) from None
            except RowError as error:
                LOGGER.info("a plain %s was not answered (%s), but not turned down either", self.subject, error)
            LOGGER.info("one %s is turned down, a plain one is not: %s", self.subject, rejection)
            self.note_answer()
