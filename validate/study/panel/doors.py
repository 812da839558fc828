"""How people come in: by the panel's study link, or by an open invitation; and the researcher's page of progress."""

import re
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from moodarchive.running.local_page import page_environment
from validate.study.page.ledger import Ledger
from validate.study.page.questionnaire import Questionnaire
from validate.study.panel.participants import Foreign, Full, Participants
from validate.study.panel.progress import measure_progress
from validate.study.panel.settings import PanelSettings

_SEE_OTHER = 303
_REFUSALS = {
    "ids": "This link lacks what the panel adds to it. Open the study from the panel's own page once more.",
    "other": "This submission belongs to another participant. Open the study from the panel's own page.",
    "full": "Every place of this study is taken, or it is over. Please return it at the panel. Thank you for coming!",
}
_STATUS = {"ids": 400, "other": 403, "full": 410}


def panel_door(participants: Participants, settings: PanelSettings, hash_id: Callable[[str], str]) -> Route:
    """``/join`` with the panel's ids, which are hashed before anything else is done with them."""
    pattern = re.compile(settings.id_pattern)
    names = (settings.participant_parameter, settings.study_parameter, settings.session_parameter)

    async def join(request: Request) -> Response:
        given = [request.query_params.getlist(name) for name in names]
        # one value each: of two, nobody can say which is the participant's
        if not all(len(values) == 1 and pattern.fullmatch(values[0]) for values in given):
            return _refuse("ids")
        participant, study, submission = (values[0] for values in given)
        if settings.study_id and study != settings.study_id:
            return _refuse("ids")
        try:
            token = await run_in_threadpool(participants.join, hash_id(participant), hash_id(submission))
        except Full:
            return _refuse("full")
        except Foreign:
            return _refuse("other")
        # the ids leave the address bar, and with it the browser's history of this page
        return RedirectResponse(f"/a/{token}", _SEE_OTHER)

    return Route("/join", join)


def open_door(participants: Participants, most: int) -> Route:
    """``/open/KEY``: a page with a button, so that neither a preview nor a reload takes a place."""
    key = participants.key("open")

    async def come(request: Request) -> Response:
        if request.path_params["key"] != key:
            raise HTTPException(404)
        if request.method != "POST":
            return HTMLResponse(_page("open.html.jinja"))
        try:
            guest = await run_in_threadpool(participants.invite_guest, most)
        except Full:
            return _refuse("full")
        return RedirectResponse(f"/a/{guest.token}", _SEE_OTHER)

    return Route("/open/{key}", come, methods=["GET", "POST"])


def progress_door(
    participants: Participants, ledger: Ledger, questions: Questionnaire, settings: PanelSettings | None
) -> Route:
    """``/progress/KEY``: how far the study is, for the researcher."""
    key = participants.key("progress")

    async def show(request: Request) -> Response:
        if request.path_params["key"] != key:
            raise HTTPException(404)
        progress = await run_in_threadpool(measure_progress, participants, ledger, questions, settings)
        return HTMLResponse(_page("progress.html.jinja", progress=progress))

    return Route("/progress/{key}", show)


def _refuse(why: str) -> Response:
    return HTMLResponse(_page("turned_away.html.jinja", says=_REFUSALS[why]), _STATUS[why])


def _page(template: str, **values: object) -> str:
    return page_environment("validate.study.panel").get_template(template).render(**values)
