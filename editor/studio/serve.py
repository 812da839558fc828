"""Serves the page on this machine: no analytics, nothing from elsewhere, nothing outside the work folder."""

import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from editor.job import Editor
from editor.pictures import MOST_BYTES
from editor.studio.runs import Runs
from editor.studio.work import Work
from moodarchive.errors import EditError, MissingExtraError

_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' blob: data:; worker-src 'self' blob:; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]


def serve(editor: Editor, folder: Path, *, host: str, port: int, tell: Callable[[str], None]) -> None:
    """Serves until it is stopped. EditError when the port is taken or the work folder cannot be used."""
    work = Work(folder=folder.resolve())
    work.make()
    # gradio reads these when it is imported
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(work.uploads)
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "gradio", "editor") from None
    with _listening(host, port) as listening:
        app = make_app(Runs(editor=editor), work, host)
        tell(f"http://{host}:{listening.getsockname()[1]}")
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, workers=1)
        uvicorn.Server(config).run(sockets=[listening])


def make_app(runs: Runs, work: Work, host: str) -> Any:
    """The application; requests that name another host than this one are refused (DNS rebinding)."""
    try:
        import gradio as gr
        from fastapi import FastAPI
        from starlette.middleware.trustedhost import TrustedHostMiddleware
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "gradio", "editor") from None
    from editor.studio.handlers import Handlers
    from editor.studio.page import CSS, make_page

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    theme = gr.themes.Soft(
        primary_hue="violet",
        neutral_hue="slate",
        font=["ui-sans-serif", "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    page = make_page(Handlers(work=work, runs=runs))
    mounted = gr.mount_gradio_app(
        app,
        page,
        path="/",
        allowed_paths=[str(work.edits)],
        max_file_size=MOST_BYTES,
        show_error=False,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        theme=theme,
        css_paths=[CSS],
    )
    # only of a page that was launched does gradio look whether a file was uploaded before it takes and serves it
    page.has_launched = True
    mounted.add_middleware(_Guarded)
    mounted.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]", host])
    return mounted


class _Guarded:
    """Every answer tells the browser to load nothing from elsewhere."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(
        self, scope: Scope, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        await self._app(scope, receive, guarded)


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=128)
    except OSError as error:
        raise EditError(f"cannot listen on {host}:{port} ({error.strerror}); remedy: --port with a free one") from None
