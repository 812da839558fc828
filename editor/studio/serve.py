"""Serves the page on this machine: no analytics, nothing from elsewhere, nothing outside the work folder."""

import logging
import os
import re
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editor.content_credentials import Credentials, require_credentials
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
_CONTRAST = {
    "body_text_color_subdued": "*neutral_600",
    "block_label_text_color": "*primary_800",
    "block_title_text_color": "*primary_800",
    "button_primary_background_fill": "*primary_700",
    "checkbox_label_background_fill_selected": "*primary_700",
    "button_primary_background_fill_hover": "*primary_800",
    "input_placeholder_color": "*neutral_500",
    "block_info_text_color": "*neutral_600",
}
"""Gradio's soft theme is too pale for people who see less well: 4.5 : 1 is what WCAG asks for."""
_HEAD = f"<script>{Path(__file__).with_name('names.js').read_text('utf-8')}</script>"
_ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the page listens, and how a proxy before it is reached.

    ``root_path`` is the path under which the proxy shows the page ("/studio"; the proxy may strip it or not), and
    ``public_hosts`` are the names that it passes on as Host, without ports.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    root_path: str = ""
    public_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.root_path and not _ROOT_PATH.fullmatch(self.root_path):
            raise EditError(f"--root-path {self.root_path!r}: legal is a path such as /studio, without / at its end")
        for name in self.public_hosts:
            if not _HOST.fullmatch(name):
                raise EditError(
                    f"--public-host {name!r}: legal is a name such as studio.example.org, without port or *"
                )


def serve(
    editor: Editor,
    folder: Path,
    *,
    address: Address,
    tell: Callable[[str], None],
    credentials: Credentials | None = None,
) -> None:
    """Serves until it is stopped. EditError when the port is taken, or folder or credentials cannot be used."""
    if credentials is not None:
        require_credentials(credentials)
    host = address.host
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
    with _listening(host, address.port) as listening:
        runs = Runs(editor=editor)
        app = make_app(runs, work, address, credentials)
        tell(f"http://{host}:{listening.getsockname()[1]}{address.root_path}")
        # an open page holds a stream for as long as it is open: without a limit Ctrl-C would wait for it
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, workers=1, timeout_graceful_shutdown=2
        )

        class Server(uvicorn.Server):
            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # that streams are cut off is no error
                await super().shutdown(sockets)

        try:
            Server(config).run(sockets=[listening])
        finally:
            runs.close()


def make_app(runs: Runs, work: Work, address: Address, credentials: Credentials | None = None) -> Any:
    """The application; requests that name another host than this one or a public one are refused (DNS rebinding)."""
    try:
        import gradio as gr
        from fastapi import FastAPI
        from starlette.middleware.trustedhost import TrustedHostMiddleware
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "gradio", "editor") from None
    from editor.planning.served_wish import ServedWishReader
    from editor.studio.conversation import Conversation
    from editor.studio.handlers import Handlers
    from editor.studio.page import CSS, make_page

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    theme = gr.themes.Soft(
        primary_hue="violet",
        neutral_hue="slate",
        font=["ui-sans-serif", "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(**_CONTRAST)
    asked = runs.editor.planner.served
    conversation = Conversation(
        handlers=Handlers(work=work, runs=runs, credentials=credentials),
        served=ServedWishReader(server=asked.server, model=asked.model) if asked else None,
    )
    page = make_page(conversation.handlers, conversation)
    mounted = gr.mount_gradio_app(
        app,
        page,
        path="/",
        root_path=address.root_path or None,
        allowed_paths=[str(work.edits), str(work.signed)],
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
        head=_HEAD,
    )
    # only of a page that was launched does gradio look whether a file was uploaded before it takes and serves it
    page.has_launched = True
    mounted.add_middleware(_Guarded)
    hosts = ["127.0.0.1", "localhost", "[::1]", address.host, *address.public_hosts]
    if address.root_path:
        mounted.add_middleware(_Unprefixed, root_path=address.root_path)
    mounted.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    return mounted


class _Unprefixed:
    """Takes the root path off requests of a proxy that passes it on, so that both kinds of proxies find the page."""

    def __init__(self, app: Callable[..., Awaitable[None]], root_path: str) -> None:
        self._app, self._root_path = app, root_path

    async def __call__(
        self, scope: Scope, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        path = str(scope.get("path", ""))
        if path == self._root_path or path.startswith(f"{self._root_path}/"):
            short = path[len(self._root_path) :] or "/"
            scope = {**scope, "path": short, "raw_path": short.encode()}
        await self._app(scope, receive, send)


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
