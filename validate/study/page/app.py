"""The page's server: a few addresses under each annotator's link, and nothing outside the study."""

from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from moodarchive.running.local_page import WithHeaders, package_text, page_environment, read_object
from validate.study.page.flow import Flow, TeamFlow
from validate.study.page.ledger import Annotator, Ledger
from validate.study.page.questionnaire import Questionnaire

_PACKAGE = "validate.study.page"
_STATIC = {
    **dict.fromkeys(
        ("send.js", "task.js", "captions.js", "edits.js", "checks.js", "ranking.js", "progress.js"), "text/javascript"
    ),
    "page.css": "text/css",
}


def make_app(
    questions: Questionnaire, ledger: Ledger, flow: Flow | None = None, doors: Sequence[Route] = ()
) -> Starlette:
    """The application; it keeps no state but the ledger's. ``doors`` are further addresses, by which people come in."""
    pages = _Pages(questions, ledger, flow or TeamFlow(questions, ledger))
    routes = [
        Route("/static/{name}", pages.static),
        Route("/a/{token}", pages.page),
        Route("/a/{token}/next", pages.next_item),
        Route("/a/{token}/trained", pages.trained, methods=["POST"]),
        Route("/a/{token}/consent", pages.consent, methods=["POST"]),
        Route("/a/{token}/answer", pages.answer, methods=["POST"]),
        Route("/a/{token}/picture/{name}", pages.picture),
        *doors,
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refuse, 500: _fail})
    return WithHeaders(app)  # type: ignore[return-value]


class _Pages:
    def __init__(self, questions: Questionnaire, ledger: Ledger, flow: Flow) -> None:
        self._questions, self._ledger, self._flow = questions, ledger, flow
        self._allowed = frozenset(questions.queue())

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _STATIC:
            raise HTTPException(404)
        return Response(package_text(_PACKAGE, name), media_type=_STATIC[name])

    async def page(self, request: Request) -> Response:
        annotator = await self._annotator(request)
        template = page_environment(_PACKAGE).get_template(f"{self._questions.kind}.html.jinja")
        return HTMLResponse(
            template.render(
                annotator=annotator,
                examples=self._questions.examples(),
                questions=self._questions,
                welcome=await run_in_threadpool(self._flow.welcome, annotator),
            )
        )

    async def next_item(self, request: Request) -> Response:
        annotator = await self._annotator(request)
        if not annotator.trained:
            raise HTTPException(409, "the training page comes first")
        return JSONResponse(await run_in_threadpool(self._next, annotator))

    def _next(self, annotator: Annotator) -> dict[str, Any]:
        step = self._flow.next_step(annotator)
        item = step.pop("item")
        return step | {"asked": self._questions.describe(item, annotator.name) if item else None}

    async def consent(self, request: Request) -> Response:
        annotator = await self._annotator(request)
        agreed = (await read_object(request)).get("agreed")
        if not isinstance(agreed, bool):
            raise HTTPException(422, "agreed must be true or false")
        await run_in_threadpool(lambda: self._flow.consent(annotator, agreed=agreed))
        if not agreed:
            # what comes next is the end, before which no training page stands
            await run_in_threadpool(self._ledger.mark_trained, annotator.name)
        return JSONResponse({"agreed": agreed})

    async def trained(self, request: Request) -> Response:
        annotator = await self._annotator(request)
        await run_in_threadpool(self._ledger.mark_trained, annotator.name)
        return JSONResponse({"trained": True})

    async def answer(self, request: Request) -> Response:
        annotator = await self._annotator(request)
        body = await read_object(request)
        item = body.get("item")
        if not isinstance(item, str) or item not in self._allowed:
            raise HTTPException(404, "no such item")
        answer = self._questions.read_answer(item, annotator.name, body)
        if answer is None:
            raise HTTPException(422, "the answer is not complete")
        if not await run_in_threadpool(self._flow.keep, annotator, item, answer):
            raise HTTPException(409, "this item was not given to you")
        return JSONResponse({"saved": item})

    async def picture(self, request: Request) -> Response:
        await self._annotator(request)
        try:
            jpeg = await run_in_threadpool(self._questions.read_picture, request.path_params["name"])
        except KeyError:
            raise HTTPException(404) from None
        return Response(jpeg, media_type="image/jpeg")

    async def _annotator(self, request: Request) -> Annotator:
        annotator = await run_in_threadpool(self._ledger.annotator, request.path_params["token"])
        if annotator is None:
            raise HTTPException(404)
        return annotator


async def _refuse(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if request.method == "POST" or request.url.path.endswith("/next"):
        return JSONResponse({"error": getattr(error, "detail", "")}, status)
    return HTMLResponse(page_environment(_PACKAGE).get_template("refused.html.jinja").render(status=status), status)


async def _fail(request: Request, error: Exception) -> Response:
    return Response("the server could not answer", 500, media_type="text/plain")
