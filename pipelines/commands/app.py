"""The command line: the verbs by group, and how errors reach a person."""

import atexit
import os
import signal
import sys
import threading
from types import FrameType
from typing import Annotated, NoReturn

import typer

from moodarchive import __version__
from moodarchive.errors import MoodArchiveError
from pipelines.commands.browse import browse_verbs
from pipelines.commands.build import build_verbs
from pipelines.commands.change import change_verbs
from pipelines.commands.edit import edit_verbs
from pipelines.commands.inspect import inspect_verbs
from pipelines.commands.lavc import lavc
from pipelines.commands.model import model_verbs
from pipelines.commands.pairs import pairs
from pipelines.commands.study import study

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="MoodArchive turns emotions into a sealed, verified image dataset, and the dataset into models.",
)

app.add_typer(build_verbs)
app.add_typer(inspect_verbs)
app.add_typer(browse_verbs)
app.add_typer(change_verbs)
app.add_typer(study, name="study", rich_help_panel="Study")
app.add_typer(model_verbs)
app.add_typer(edit_verbs)
app.add_typer(pairs, name="pairs", rich_help_panel="Edit")
app.add_typer(lavc, name="lavc", rich_help_panel="Edit")

INTERRUPTED = 130


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"moodarchive {__version__}")
        raise typer.Exit


@app.callback()
def _begin(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Takes the options that stand before a verb."""


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM. No KeyboardInterrupt, because Typer would answer that itself."""


def main() -> NoReturn:
    """The console script: errors of ours are one message without a traceback; Ctrl-C ends with 130."""
    # Ray's own interrupt handling may swallow the first Ctrl-C; SIGTERM ends a run as tidily as Ctrl-C does
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(standalone_mode=True)
    except MoodArchiveError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except (Interrupted, KeyboardInterrupt):
        typer.echo("interrupted: finished parts are safe, the same command goes on from them", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except SystemExit as end:
        if end.code not in (0, None):
            raise
    _end_well()


def _end_well() -> NoReturn:
    """Ends a command that did its work with 0, without taking the interpreter down.

    Threads of Arrow's and DuckDB's pools may still end while Python does, and then abort the process ("terminate
    called without an active exception"): 1 of 14 runs of ``study sample`` on one core. Python's own exit handlers run.
    """
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter itself does first
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        pass
    os._exit(0)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted
