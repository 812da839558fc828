"""The verbs that build an archive: demo, run, plan and sources."""

from typing import Annotated

import typer

build_verbs = typer.Typer()


@build_verbs.command(rich_help_panel="Build")
def demo(
    root: Annotated[str, typer.Option(help="Where the archive is built.")] = "runs/demo",
    images: Annotated[int, typer.Option(help="Pictures to draw.", min=12, max=4_000)] = 400,
    photos: Annotated[
        str, typer.Option(help="A folder of your own pictures instead (with an optional photos.csv).")
    ] = "",
    seed: Annotated[int, typer.Option(help="Another seed draws other pictures.")] = 0,
    *,
    train: Annotated[bool, typer.Option(help="Train on the sealed pictures, a minute more.")] = True,
    captions: Annotated[str, typer.Option(help="Ask this caption server in place of the demo's own.")] = "",
) -> None:
    """Run the whole pipeline on embedded parts, offline: a stock site, a caption server, a small CLIP that trains."""
    from pipelines.demo.run import DemoOptions, run_demo

    run_demo(DemoOptions(root=root, images=images, photos=photos, seed=seed, train=train, captions=captions))


@build_verbs.command(rich_help_panel="Build")
def run(
    config: Annotated[str, typer.Argument(help="The settings, a TOML file; see configs/.")],
    root: Annotated[str, typer.Option(help="The archive's root; overrides run.root of the settings.")] = "",
    until: Annotated[str, typer.Option(help="The last step to do.")] = "seal",
    retry: Annotated[str, typer.Option(help="Try the failed rows of this table again: captions.")] = "",
    recut: Annotated[bool, typer.Option("--recut", help='Judge all rounds together: cut.rounds = "together".')] = False,
) -> None:
    """Build an archive, or go on with one."""
    from moodarchive.errors import ConfigError
    from moodarchive.storage.store import Store
    from pipelines.archive import ArchiveRun
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
    ArchiveRun(store, settings, Progress(store)).run(until, retry)


@build_verbs.command(rich_help_panel="Build")
def plan(
    config: Annotated[str, typer.Argument(help="The settings, a TOML file.")],
    images: Annotated[int, typer.Option(help="Images that shall be kept.", min=1)],
    assume: Annotated[list[str] | None, typer.Option(help="name=value, again and again.")] = None,
    measure: Annotated[str, typer.Option(help="A root whose finished parts take the place of assumptions.")] = "",
) -> None:
    """Show days, bytes, GPU-hours and cost before starting."""
    from rich.console import Console

    from moodarchive.storage.store import Store
    from pipelines.inspect.measured_rates import measure_rates
    from pipelines.inspect.plan import read_assumptions, show_plan
    from pipelines.settings import read_settings

    settings = read_settings(config)
    measured = measure_rates(Store(measure), settings) if measure else None
    show_plan(settings, images, read_assumptions(assume or [], measured), Console(), measured)


@build_verbs.command(rich_help_panel="Build")
def embed(
    config: Annotated[str, typer.Argument(help="The settings, a TOML file.")],
    catalogue: Annotated[str, typer.Argument(help="A catalogue of the settings: NAME of [sources.catalogues.NAME].")],
    output: Annotated[str, typer.Option(help="Where the vectors go: a file for each file of the list.")],
    *,
    pictures: Annotated[bool, typer.Option(help="Embed the pictures in the rows in place of the texts.")] = False,
    threads: Annotated[int, typer.Option(help="CPU threads of the model, where there is no GPU.", min=1)] = 1,
) -> None:
    """Embed a catalogue's rows, so that phrases find them by meaning (match = "meaning" or "both")."""
    from pathlib import Path

    from rich.console import Console

    from crawl.catalogues.catalogue import Catalogue
    from crawl.catalogues.embed import embed_catalogue
    from moodarchive.errors import ConfigError
    from moodarchive.models.clip import ClipEncoder
    from pipelines.settings import read_settings

    settings = read_settings(config)
    named = settings.sources.catalogues
    if catalogue not in named:
        raise ConfigError(f"{config} has no [sources.catalogues.{catalogue}]; it has: {', '.join(named) or 'none'}")
    console, chosen = Console(), Catalogue(catalogue, named[catalogue])
    own = named[catalogue]
    model, pretrained = (
        (own.embedding_model, own.embedding_pretrained)
        if own.embedding_model
        else (settings.score.model, settings.score.pretrained)
    )
    encoder = ClipEncoder(model=model, pretrained=pretrained, threads=threads)
    embed_catalogue(
        chosen, encoder, Path(output), pictures=pictures, show=lambda line: console.print(line, highlight=False)
    )
    console.print(
        f"[sources.catalogues.{catalogue}]\nmatch = \"both\"\nembeddings = [\"{output}\"]\n"
        f"embedding_model = \"{model}\"\nembedding_pretrained = \"{pretrained}\"",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip


@build_verbs.command(rich_help_panel="Build")
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
