"""The command line: every verb, its arguments, and how errors are told."""

import os
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from moodarchive.errors import MoodArchiveError
from pipelines.commands.edit import edit_verbs
from pipelines.commands.model import model_verbs
from pipelines.commands.study import study

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="MoodArchive turns emotions into a sealed, verified image dataset, and the dataset into models.",
)

app.add_typer(study, name="study")
app.add_typer(model_verbs)
app.add_typer(edit_verbs)

Root = Annotated[str, typer.Argument(help="The archive's root: a folder, s3://…, any fsspec URL.")]
INTERRUPTED = 130


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM. No KeyboardInterrupt, because Typer would answer that itself."""


@app.command()
def demo(
    root: Annotated[str, typer.Option(help="Where the archive is built.")] = "runs/demo",
    images: Annotated[int, typer.Option(help="Pictures to draw.", min=12, max=4_000)] = 400,
    photos: Annotated[
        str, typer.Option(help="A folder of your own pictures instead (with an optional photos.csv).")
    ] = "",
    seed: Annotated[int, typer.Option(help="Another seed draws other pictures.")] = 0,
    train: Annotated[bool, typer.Option(help="Train on the sealed pictures, a minute more.")] = True,
) -> None:
    """Run the whole pipeline on embedded parts, offline: a stock site, a caption server, a small CLIP that trains."""
    from pipelines.demo.run import DemoOptions, run_demo

    run_demo(DemoOptions(root=root, images=images, photos=photos, seed=seed, train=train))


@app.command()
def run(
    config: Annotated[str, typer.Argument(help="The settings, a TOML file; see configs/.")],
    root: Annotated[str, typer.Option(help="The archive's root; overrides run.root of the settings.")] = "",
    until: Annotated[str, typer.Option(help="The last step to do.")] = "seal",
    recut: Annotated[bool, typer.Option("--recut", help='Judge all rounds together: cut.rounds = "together".')] = False,
) -> None:
    """Build an archive, or go on with one."""
    from moodarchive.errors import ConfigError
    from moodarchive.storage.store import Store
    from pipelines.archive import Archive
    from pipelines.runner.progress import Progress
    from pipelines.settings import read_settings

    settings = read_settings(config)
    chosen = root or settings.run.root
    if not chosen:
        raise ConfigError(f"no root: neither --root nor run.root in {config} names one")
    if recut:
        cut = settings.cut.model_copy(update={"rounds": "together"})
        settings = settings.model_copy(update={"cut": cut})
    store = Store(chosen)
    Archive(store, settings, Progress(store)).run(until)


@app.command()
def status(root: Root) -> None:
    """Show parts and rows per table, failures by reason, and where the logs are."""
    from rich.console import Console

    from moodarchive.storage.store import Store
    from pipelines.inspect.status import show_status

    show_status(Store(root), Console())


@app.command()
def show(root: Root, key: Annotated[str, typer.Argument(help="An image's key: 16 hex digits.")]) -> None:
    """Show one image's history: query, licence, caption, score, reason, shard."""
    from rich.console import Console

    from moodarchive.storage.store import Store
    from pipelines.inspect.show import show_image

    show_image(Store(root), key, Console())


@app.command()
def verify(
    root: Root,
    fast: Annotated[bool, typer.Option("--fast", help="Check presence and digests only.")] = False,
) -> None:
    """Prove a sealed archive whole; exit 1 and name what is not."""
    from moodarchive.storage.store import Store
    from moodarchive.tables.layout import MANIFEST_PATH
    from pipelines.runner.cluster import Cluster, address_of
    from pipelines.runner.distribution import spread_for
    from pipelines.runner.preflight import requirements_by
    from validate.verify import verify as problems_of

    problems, store = 0, Store(root)
    with Cluster(address=address_of(""), look=lambda: requirements_by(store, MANIFEST_PATH)) as cluster:
        for problem in problems_of(store, fast=fast, over=spread_for(store, cluster, fast=fast)):
            problems += 1
            typer.echo(str(problem))
    if problems:
        typer.echo(f"{root}: {problems} problem(s)", err=True)
        raise typer.Exit(1)
    typer.echo(f"{root}: whole")


@app.command()
def takedown(
    root: Root,
    listed: Annotated[
        str, typer.Argument(metavar="LIST", help="CSV, Parquet or lines: url, key, sha256, creator: NAME.")
    ],
) -> None:
    """Erase images from every table and shard, and keep them out of all later rounds."""
    from moodarchive.storage.store import Store
    from pipelines.change.verbs import take_down

    take_down(Store(root), listed, typer.echo)


@app.command()
def prune(root: Root) -> None:
    """Drop the pictures of images/ once the archive is sealed; the shards hold those that are kept."""
    from moodarchive.storage.store import Store
    from pipelines.change.verbs import prune as drop

    drop(Store(root), typer.echo)


@app.command()
def diff(
    root: Root,
    earlier: Annotated[int | None, typer.Argument(help="A seal's number; the one before the later by default.")] = None,
    later: Annotated[int | None, typer.Argument(help="A seal's number; the last by default.")] = None,
) -> None:
    """Show what changed between two seals: shards, samples by reason, settings."""
    from rich.console import Console

    from moodarchive.storage.store import Store
    from pipelines.inspect.diff import show_diff

    show_diff(Store(root), earlier, later, Console())


@app.command()
def report(root: Root) -> None:
    """Write report/index.html, a page that stands alone."""
    from moodarchive.storage.store import Store
    from pipelines.report.write import write_report
    from pipelines.runner.settings_record import require_recorded_settings

    store = Store(root)
    require_recorded_settings(store)
    typer.echo(f"{root.rstrip('/')}/{write_report(store)}")


@app.command()
def caption_sample(
    root: Root,
    *,
    prompts: Annotated[list[str], typer.Option("--prompts", help="A prompt's name or TOML file, again and again.")],
    more: Annotated[list[str] | None, typer.Argument(help="Further prompts.")] = None,
    server: Annotated[
        list[str] | None, typer.Option(help="Where the model is served; http://127.0.0.1:8000 unless named.")
    ] = None,
    model: Annotated[str, typer.Option(help="Another model than the archive's own.")] = "",
    images: Annotated[int, typer.Option(help="Pictures to ask about.", min=1, max=500)] = 20,
    seed: Annotated[int, typer.Option(help="Another seed takes other pictures.")] = 0,
) -> None:
    """Compare prompts on a sample of the pictures; writes report/caption-sample/index.html alone."""
    from moodarchive.storage.store import Store
    from pipelines.inspect.caption_sample import SampleOptions, write_caption_sample

    options = SampleOptions(
        prompts=(*prompts, *(more or ())),
        servers=tuple(server or ("http://127.0.0.1:8000",)),
        model=model,
        images=images,
        seed=seed,
    )
    typer.echo(f"{root.rstrip('/')}/{write_caption_sample(Store(root), options)}")


@app.command()
def sources(
    config: Annotated[str, typer.Argument(help="The settings, a TOML file.")],
    root: Annotated[str, typer.Option(help="The archive whose quotas are shown; overrides run.root.")] = "",
) -> None:
    """Show each source: unlocked or why not, keys present or not, quota left."""
    from rich.console import Console

    from pipelines.inspect.sources_table import show_sources
    from pipelines.settings import read_settings

    settings = read_settings(config)
    show_sources(settings, root or settings.run.root, Console())


@app.command()
def plan(
    config: Annotated[str, typer.Argument(help="The settings, a TOML file.")],
    images: Annotated[int, typer.Option(help="Images that shall be kept.", min=1)],
    assume: Annotated[list[str] | None, typer.Option(help="name=value, again and again.")] = None,
) -> None:
    """Show days, bytes, GPU-hours and cost before starting."""
    from rich.console import Console

    from pipelines.inspect.plan import assumed, show_plan
    from pipelines.settings import read_settings

    show_plan(read_settings(config), images, assumed(assume or []), Console())


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
        sys.exit(0)
    sys.exit(0)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted


if __name__ == "__main__":
    main()
