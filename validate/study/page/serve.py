"""Starts the page: one process, one SQLite file, a link for each annotator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moodarchive.errors import MissingExtraError, StudyError
from moodarchive.running.local_page import listen
from moodarchive.storage.store import Store
from validate.study.design.study import folder
from validate.study.page.questionnaire import Questionnaire

if TYPE_CHECKING:
    from validate.study.page.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class Extension:
    """What another way of asking adds to the page: its flow, its doors, and lines that name its addresses."""

    flow: Any = None
    doors: Sequence[Any] = ()
    lines: Sequence[str] = ()


LEDGER_NAME = "answers.sqlite3"


def ledger_path(store: Store, kind: str, state: str = "") -> Path:
    """Where the page keeps its answers: under the root, or in ``state`` for a root that is no folder."""
    if state:
        return Path(state) / LEDGER_NAME
    if not store.is_local:
        raise StudyError(f"{store.root} is no folder of this machine; remedy: --state FOLDER for the page's answers")
    return Path(store.path(f"{folder(kind)}/page/{LEDGER_NAME}"))


def serve(
    questions: Questionnaire,
    ledger: Path,
    names: Sequence[str],
    *,
    host: str,
    port: int,
    tell: Callable[[str], None],
    extend: "Callable[[Ledger, str], Extension] | None" = None,
) -> None:
    """Serves until it is stopped; tells every annotator's link first. StudyError when the port is taken.

    ``extend`` gets the ledger and the server's address, and adds another way in.
    """
    try:
        import uvicorn

        from validate.study.page.app import make_app
        from validate.study.page.ledger import Ledger
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "starlette", "study") from None
    with listen(host, port, StudyError) as listening:
        kept = Ledger(ledger)
        address = f"http://{host}:{listening.getsockname()[1]}"
        extension = extend(kept, address) if extend else Extension()
        if names:
            for annotator in filter(lambda one: one.name in names, kept.invite(names)):
                tell(f"{annotator.name}: {address}/a/{annotator.token}")
        for line in extension.lines:
            tell(line)
        app = make_app(questions, kept, extension.flow, extension.doors)
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, workers=1)
        try:
            uvicorn.Server(config).run(sockets=[listening])
        finally:
            kept.close()
