"""Serves a study to annotators, to guests of an open invitation or to a panel; and settles what a panel is owed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from moodarchive.errors import MissingExtraError, StudyError
from moodarchive.storage.store import Store
from pipelines.study.steps import parse_moment, questionnaire
from validate.study.design.items import read_items
from validate.study.design.study import CAPTIONS, read_design
from validate.study.page.ledger import Ledger
from validate.study.page.questionnaire import Questionnaire
from validate.study.page.serve import Extension, ledger_path, serve
from validate.study.panel.identity import make_hasher
from validate.study.panel.settings import read_panel

TEAM = "annotator-"
"""What the names of annotators of one's own begin with."""


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What a person may choose. ``guests`` may come by an open invitation until ``closes``; ``panel`` names a file.

    ``with_doubtful``: strangers, too, are shown doubtful pictures.
    """

    annotators: int = 0
    guests: int = 0
    closes: str = ""
    panel: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    state: str = ""
    with_doubtful: bool = False


def serve_study(store: Store, kind: str, options: ServeOptions, tell: Callable[[str], None]) -> None:
    """Serves until it is stopped. StudyError when the options contradict each other."""
    if options.panel and options.guests:
        raise StudyError("--panel and --open are two ways in; remedy: serve one of them")
    wanted = options.annotators or int(not (options.panel or options.guests))
    if options.panel and wanted:
        raise StudyError("--panel and --annotators are two ways in; remedy: serve one of them")
    names = [f"{TEAM}{number + 1}" for number in range(wanted)]
    ledger = ledger_path(store, kind, options.state)
    shown = options.with_doubtful or not _admits_strangers(ledger, options)
    questions = questionnaire(store, kind, with_doubtful=shown)
    if not shown and kind == CAPTIONS and any(item.is_doubtful for item in read_items(store)):
        tell("doubtful pictures are left out: people whom you did not choose have links; --with-doubtful shows them")
    extend = _extension(store, kind, options, questions)
    serve(questions, ledger, names, host=options.host, port=options.port, tell=tell, extend=extend)


def _admits_strangers(ledger: Path, options: ServeOptions) -> bool:
    """True where a panel or guests may come, or have come before: their links go on working."""
    if options.panel or options.guests:
        return True
    if not ledger.exists():
        return False
    known = Ledger(ledger)
    try:
        return any(not one.name.startswith(TEAM) for one in known.invite([]))
    finally:
        known.close()


def _extension(
    store: Store, kind: str, options: ServeOptions, questions: Questionnaire
) -> Callable[[Ledger, str], Extension] | None:
    if not (options.panel or options.guests):
        return None
    try:
        from validate.study.panel.serve import extend_for_guests, extend_for_panel
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "starlette", "study") from None
    if options.panel:
        settings, design, hasher = read_panel(options.panel), read_design(store, kind), make_hasher(store, kind)
        return lambda ledger, address: extend_for_panel(
            ledger, address, questions, design=design, settings=settings, hasher=hasher
        )
    closes = parse_moment("--closes", options.closes)
    return lambda ledger, address: extend_for_guests(ledger, address, questions, most=options.guests, closes=closes)


def settle_panel(store: Store, *, panel: str, submissions: str, output: str, state: str = "") -> Iterator[str]:
    """Writes the decisions by submission outside the root, and tells attention, time and pay."""
    from validate.study.panel.prolific import settle

    if not panel or not submissions:
        raise StudyError("settle needs --panel and --submissions; remedy: the panel's file and its export")
    path = ledger_path(store, CAPTIONS, state)
    if not path.exists():
        raise StudyError(f"{path} does not exist: nobody came yet; remedy: moodarchive study serve --panel {panel}")
    gold = questionnaire(store, CAPTIONS).for_everyone()
    ledger = Ledger(path)
    try:
        settings, hasher = read_panel(panel), make_hasher(store, CAPTIONS)
        yield from settle(store, ledger, gold, settings, export=submissions, output=output, hash_id=hasher)
    finally:
        ledger.close()
