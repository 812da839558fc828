"""The page's server: a few addresses under one prefix, pictures by key alone, and nothing outside the root."""

import json
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from moodarchive.errors import MoodArchiveError, UsageError
from moodarchive.running.local_page import WithHeaders, package_text, page_environment, read_object
from moodarchive.storage.store import Store
from pipelines.browse.encoder import MOST_UPLOAD, Encoder
from pipelines.browse.index import Index
from pipelines.browse.marks import MARKS, Mark, MarksFile
from pipelines.browse.pictures import Pictures, Thumbnails
from pipelines.browse.questions import Filters, Questions
from pipelines.inspect.show import collect_history, printable
from validate.study.design.questions import MOST_COMMENT, REASONS

_PACKAGE = "pipelines.browse"
_STATIC = {"browse.js": "text/javascript", "browse.css": "text/css"}
_KEPT_BY_BROWSER = {"Cache-Control": "private, max-age=3600"}
_KEY = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True, kw_only=True)
class Browse:
    """Everything open that the page answers from."""

    store: Store
    index: Index
    questions: Questions
    pictures: Pictures
    thumbnails: Thumbnails
    marks: MarksFile
    encoder: Encoder

    def begin(self) -> None:
        """Makes the marks known to the index's questions."""
        cursor = self.index.cursor()
        cursor.execute("CREATE TABLE marks (key UBIGINT PRIMARY KEY, mark VARCHAR)")
        rows = [(int(key, 16), mark.mark) for key, mark in self.marks.standing.items()]
        if rows:
            cursor.executemany("INSERT INTO marks VALUES (?, ?)", rows)

    def mark(self, mark: Mark) -> Mark | None:
        """Keeps a mark, or takes one back; returns what held before."""
        before = self.marks.add(mark)
        cursor, word = self.index.cursor(), int(mark.key, 16)
        if mark.mark:
            cursor.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", [word, mark.mark])
        else:
            cursor.execute("DELETE FROM marks WHERE key = ?", [word])
        return before

    @cached_property
    def values(self) -> dict[str, list[tuple[str, int]]]:
        """What the columns can be filtered by; the index does not change, they are counted once and kept beside it."""
        path = self.index.folder / "values.json"
        try:
            return dict(json.loads(path.read_bytes()))
        except (FileNotFoundError, ValueError):
            values = self.questions.values()
            draft = path.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps(values))
            draft.replace(path)
            return values


def make_app(browse: Browse, *, hosts: Sequence[str], token: str = "") -> Any:
    """The application. With a ``token`` every address begins with it, and without it there is nothing.

    Requests that name another host than ``hosts`` are refused (DNS rebinding).
    """
    pages = _Pages(browse)
    routes: list[BaseRoute] = [
        Route("/", pages.page),
        Route("/static/{name}", pages.static),
        Route("/wall", pages.wall),
        Route("/values", pages.values),
        Route("/cells", pages.cells),
        Route("/phrases", pages.phrases),
        Route("/image/{key}", pages.image),
        Route("/near/{key}", pages.near),
        Route("/picture/{key}", pages.picture),
        Route("/thumb/{key}", pages.thumb),
        Route("/similar/{key}", pages.similar),
        Route("/similar-text", pages.similar_to_text),
        Route("/similar-picture", pages.similar_to_picture, methods=["POST"]),
        Route("/mark", pages.mark, methods=["POST"]),
    ]
    handlers: dict[Any, Any] = {HTTPException: _refuse, MoodArchiveError: _explain, 500: _fail}
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=[*hosts])]
    if token:
        routes = [Mount("/{token}", routes=routes, middleware=[Middleware(_WithToken, token=token)])]
    return WithHeaders(Starlette(routes=routes, exception_handlers=handlers, middleware=middleware))


class _WithToken:
    """Lets nobody in whose address does not begin with the token."""

    def __init__(self, app: Any, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        said = str(scope.get("path_params", {}).get("token", ""))
        if not secrets.compare_digest(said.encode(), self._token.encode()):
            await Response("not here", 404)(scope, receive, send)
            return
        await self._app(scope, receive, send)


class _Pages:
    def __init__(self, browse: Browse) -> None:
        self._browse = browse

    async def page(self, request: Request) -> Response:
        if not request.url.path.endswith("/"):
            raise HTTPException(404)
        values = await run_in_threadpool(lambda: self._browse.values)
        page = page_environment(_PACKAGE).get_template("browse.html.jinja")
        return HTMLResponse(
            page.render(
                has_vectors=self._browse.questions.vectors is not None,
                root=self._browse.store.root,
                rows=self._browse.index.rows,
                values=values,
                reasons=REASONS,
            )
        )

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _STATIC:
            raise HTTPException(404)
        return Response(package_text(_PACKAGE, name), media_type=_STATIC[name])

    async def wall(self, request: Request) -> Response:
        pairs = request.query_params.multi_items()
        after = request.query_params.get("after", "")
        most = request.query_params.get("most", "60")
        if not most.isdigit():
            raise HTTPException(400, "most must be a number")
        filters = Filters.read(pairs)
        return JSONResponse(await run_in_threadpool(self._browse.questions.wall, filters, after, int(most[:4])))

    async def values(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(lambda: self._browse.values))

    async def cells(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._browse.questions.cells))

    async def phrases(self, request: Request) -> Response:
        cell = (request.query_params.get("emotion", ""), request.query_params.get("context", ""))
        return JSONResponse(await run_in_threadpool(self._browse.questions.phrases, *cell))

    async def image(self, request: Request) -> Response:
        key, number = self._known(request)
        return JSONResponse(await run_in_threadpool(self._history, key, number))

    def _history(self, key: str, number: int) -> dict[str, Any]:
        (row,) = self._browse.questions.rows([number])
        part = self._browse.index.cursor().execute("SELECT part FROM known.rows WHERE id = ?", [number]).fetchone()
        history = [
            {"title": title, "rows": [["", said]] if isinstance(said, str) else _as_pairs(said)}
            for title, said in collect_history(self._browse.store, key, part[0] if part else None)
        ]
        mark = self._browse.marks.standing.get(key)
        return row | {"history": history, "marked": asdict(mark) if mark else None}

    async def near(self, request: Request) -> Response:
        key, _ = self._known(request)
        return JSONResponse({"rows": await run_in_threadpool(self._browse.questions.look_alikes, key), "next": None})

    async def similar(self, request: Request) -> Response:
        key, _ = self._known(request)
        filters = Filters.read(request.query_params.multi_items())

        def find() -> list[dict[str, Any]]:
            number, vector = self._browse.questions.vector_of(key)
            return self._browse.questions.similar(vector, filters, number)

        return JSONResponse({"rows": await run_in_threadpool(find), "next": None})

    async def similar_to_text(self, request: Request) -> Response:
        filters = Filters.read(request.query_params.multi_items())
        if not filters.words.strip():
            raise HTTPException(422, "there is no text")
        return JSONResponse({"rows": await run_in_threadpool(self._similar_to_text, filters), "next": None})

    def _similar_to_text(self, filters: Filters) -> list[dict[str, Any]]:
        return self._browse.questions.similar(self._browse.encoder.embed_text(filters.words), filters)

    async def similar_to_picture(self, request: Request) -> Response:
        filters = Filters.read(request.query_params.multi_items())
        if not request.headers.get("content-type", "").startswith("image/"):
            raise HTTPException(415, "that is no picture")
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_UPLOAD:
                raise HTTPException(413, f"a picture has at most {MOST_UPLOAD >> 20} MB")

        def find() -> list[dict[str, Any]]:
            return self._browse.questions.similar(self._browse.encoder.embed_picture(body), filters)

        return JSONResponse({"rows": await run_in_threadpool(find), "next": None})

    async def picture(self, request: Request) -> Response:
        _, number = self._known(request)
        return _jpeg(await run_in_threadpool(self._browse.pictures.read, number))

    async def thumb(self, request: Request) -> Response:
        key, number = self._known(request)
        return _jpeg(await run_in_threadpool(self._browse.thumbnails.read, number, key))

    async def mark(self, request: Request) -> Response:
        body = await read_object(request)
        mark, reason, comment = (body.get(name, "") for name in ("mark", "reason", "comment"))
        key = body.get("key")
        if not isinstance(key, str) or not _KEY.fullmatch(key) or self._browse.index.number_of(key) is None:
            raise HTTPException(404, "no such picture")
        if mark not in ("", *MARKS):
            raise HTTPException(422, f"mark must be one of {', '.join(MARKS)}, or empty to take one back")
        if reason not in ("", *REASONS) or (mark == "reject" and not reason):
            raise HTTPException(422, f"a rejection has a reason: {', '.join(REASONS)}")
        if not isinstance(comment, str) or len(comment) > MOST_COMMENT:
            raise HTTPException(422, f"a comment has at most {MOST_COMMENT} letters")
        wanted = Mark(key=key, mark=mark, reason=reason, comment=comment)
        before = await run_in_threadpool(self._browse.mark, wanted)
        return JSONResponse({"key": key, "mark": mark or None, "before": asdict(before) if before else None})

    def _known(self, request: Request) -> tuple[str, int]:
        key = request.path_params["key"]
        number = self._browse.index.number_of(key) if _KEY.fullmatch(key) else None
        if number is None:
            raise HTTPException(404, "no such picture")
        return key, number


def _as_pairs(row: dict[str, Any]) -> list[list[str]]:
    return [[name, printable(value)] for name, value in row.items() if value is not None and name != "key"]


def _jpeg(data: bytes | None) -> Response:
    if not data:
        raise HTTPException(404, "there is no picture")
    return Response(data, media_type="image/jpeg", headers=_KEPT_BY_BROWSER)


async def _refuse(request: Request, error: Exception) -> Response:
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "")
    return JSONResponse({"error": detail}, status)


async def _explain(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400 if isinstance(error, UsageError) else 500)


async def _fail(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "the server could not answer"}, 500)
