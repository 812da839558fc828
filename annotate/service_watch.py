"""Tells a service that turns every picture down from pictures that a service turns down."""

import asyncio
import io
import logging
from dataclasses import dataclass, field, replace

from PIL import Image

from moodarchive.chat.client import ChatClient, ChatRequest, ServerRejection
from moodarchive.errors import RowError, ServiceError

LOGGER = logging.getLogger("moodarchive.caption")

ROWS_IN_A_ROW = 5
"""So many rows turned down, none answered between them, are looked into."""
_PROBE_SIZE = (336, 336)


@dataclass
class ServiceWatch:
    """Counts the rows that were turned down in a row, over all parts of a worker.

    A picture may be broken, and is then a row's failure; a server without vision, chat template or a grammar that it
    understands turns all of them down, and that must not be recorded as the pictures' failure. The same question about
    a plain picture, which no sound server turns down, tells the two apart.
    """

    _rows: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def note_answer(self) -> None:
        """The service answered a row, be it badly."""
        self._rows = 0

    async def note_rejection(self, client: ChatClient, request: ChatRequest, rejection: ServerRejection) -> None:
        """A row was turned down. ServiceError when a plain picture is turned down too, once it is worth a question."""
        self._rows += 1
        if self._rows >= ROWS_IN_A_ROW:
            await self.require_service(client, request, rejection)

    async def require_service(self, client: ChatClient, request: ChatRequest, rejection: ServerRejection) -> None:
        """ServiceError, with the server's words, when it turns a plain picture down too."""
        async with self._lock:
            if not self._rows:
                return
            try:
                await client.ask(_about_plain_picture(request))
            except ServerRejection as error:
                raise ServiceError(
                    f"the caption server turns every picture down, also a plain one: {error}; nothing of this is "
                    "recorded; remedy: mend what the server names, see docs/captioning.md, then run again"
                ) from None
            except RowError as error:
                LOGGER.info("a plain picture was not described (%s), but not turned down either", error)
            LOGGER.info("pictures are turned down, a plain one is not: %s", rejection)
            self._rows = 0


def _about_plain_picture(request: ChatRequest) -> ChatRequest:
    held = io.BytesIO()
    Image.linear_gradient("L").resize(_PROBE_SIZE).convert("RGB").save(held, "JPEG")
    messages = [replace(message, jpeg=held.getvalue()) if message.jpeg else message for message in request.messages]
    return replace(request, messages=tuple(messages))
