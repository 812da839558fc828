"""The verbs that look at an archive: status, show, verify, report, diff, licences and caption-sample."""

from typing import Annotated, Literal

import typer

from pipelines.commands.arguments import Root
from pipelines.commands.problems import tell_problems

inspect_verbs = typer.Typer()


@inspect_verbs.command(rich_help_panel="Inspect")
def status(root: Root) -> None:
    """Show parts and rows per table, failures by reason, and where the logs are."""
    from rich.console import Console

    from moodarchive.storage.store import Store
    from pipelines.inspect.status import show_status

    show_status(Store(root), Console())


@inspect_verbs.command(rich_help_panel="Inspect")
def show(root: Root, key: Annotated[str, typer.Argument(help="An image's key: 16 hex digits.")]) -> None:
    """Show one image's history: query, licence, caption, score, reason, shard."""
    from rich.console import Console

    from moodarchive.storage.store import Store
    from pipelines.inspect.show import show_image

    show_image(Store(root), key, Console())


@inspect_verbs.command(rich_help_panel="Inspect")
def verify(
    root: Root,
    fast: Annotated[bool, typer.Option("--fast", help="Check presence and digests only.")] = False,
) -> None:
    """Prove a sealed archive whole; exit 1 and name what is not."""
    from moodarchive.running.ray_address import address_of
    from moodarchive.storage.store import Store
    from moodarchive.tables.layout import MANIFEST_PATH
    from pipelines.runner.cluster import Cluster
    from pipelines.runner.distribution import spread_for
    from pipelines.runner.preflight import requirements_by
    from validate.verify import verify as problems_of

    store = Store(root)
    with Cluster(address=address_of(""), look=lambda: requirements_by(store, MANIFEST_PATH)) as cluster:
        problems = tell_problems(problems_of(store, fast=fast, over=spread_for(store, cluster, fast=fast)))
    if problems:
        typer.echo(f"{root}: {problems} problem(s)", err=True)
        raise typer.Exit(1)
    typer.echo(f"{root}: whole")


@inspect_verbs.command(rich_help_panel="Inspect")
def report(root: Root) -> None:
    """Write report/index.html, a page that stands alone."""
    from moodarchive.storage.store import Store
    from pipelines.inspect.report.write import write_report
    from pipelines.runner.settings_record import require_recorded_settings

    store = Store(root)
    require_recorded_settings(store)
    typer.echo(f"{root.rstrip('/')}/{write_report(store)}")


@inspect_verbs.command(rich_help_panel="Inspect")
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


@inspect_verbs.command(rich_help_panel="Inspect")
def licences(
    root: Root,
    *,
    use: Annotated[
        Literal["commercial-training", "redistribution", "adaptation"],
        typer.Option("--for", help="What the samples are wanted for."),
    ],
    attribution: Annotated[
        str, typer.Option(help="Write whom to name for the allowed samples: a .csv or .md file outside the root.")
    ] = "",
    samples: Annotated[
        str, typer.Option(help="Write every sample, and whether it is allowed: a .csv file outside the root.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object that names every shard.")] = False,
) -> None:
    """Show which shards and samples a use may take, by licence, and what they ask in return."""
    from rich.console import Console

    from moodarchive.storage.store import Store
    from pipelines.inspect.licences import Use, show_licences

    show_licences(Store(root), Use(use), Console(), as_json=as_json, attribution=attribution, samples=samples)


@inspect_verbs.command(rich_help_panel="Inspect")
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
