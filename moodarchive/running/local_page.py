"""What every page of ours that a browser opens is served with: a port, careful headers, bounded JSON bodies."""

import json
import socket
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from moodarchive.errors import UsageError

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.requests import Request

MOST_BODY = 20_000
"""Bytes of a message that a page sends."""
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_NOT_KEPT = {"Cache-Control": "no-store"}


def listen(host: str, port: int, error: type[UsageError]) -> socket.socket:
    """A listening socket; ``error`` when the port is taken."""
    try:
        return socket.create_server((host, port), backlog=128)
    except OSError as failure:
        raise error(f"cannot listen on {host}:{port} ({failure.strerror}); remedy: --port with a free one") from None


def package_text(package: str, name: str) -> str:
    """A file of a package's page: a template, a script or a style."""
    return (files(package) / name).read_text("utf-8")


def page_environment(package: str) -> "Environment":
    """The templates of a package's page; what they show is escaped, and a name that is not given fails."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        loader=FunctionLoader(lambda name: package_text(package, name)), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


class WithHeaders:
    """Every answer carries the headers that keep a browser from doing more than the page needs.

    Nothing is kept by the browser unless the answer itself says for how long.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        async def with_headers(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = [*message["headers"]]
                says_itself = any(name.lower() == b"cache-control" for name, _ in own)
                added = _HEADERS if says_itself else _HEADERS | _NOT_KEPT
                message["headers"] = [*own, *((name.lower().encode(), text.encode()) for name, text in added.items())]
            await send(message)

        await self._app(scope, receive, with_headers)


async def read_object(request: "Request") -> dict[str, Any]:
    """The body as a JSON object; refused when it is of another type or too long."""
    from starlette.exceptions import HTTPException

    if request.headers.get("content-type", "").split(";")[0] != "application/json":
        raise HTTPException(415)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY:
            raise HTTPException(413)
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400) from None
    if not isinstance(message, dict):
        raise HTTPException(400)
    return message
