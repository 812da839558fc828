"""The command line's study verbs: the human validation from sample to verdict."""

from enum import StrEnum
from typing import Annotated

import typer

study = typer.Typer(no_args_is_help=True, help="The human validation: draw, ask, import, judge, give back.")

Root = Annotated[str, typer.Argument(help="The root of a sealed archive.")]


class StudyKind(StrEnum):
    """Captions of the archive, edits of pictures by several methods, checks of edited records, the best candidate."""

    CAPTIONS = "captions"
    EDITS = "edits"
    CHECKS = "checks"
    RANKING = "ranking"


class Vendor(StrEnum):
    """For whom files are written."""

    MTURK = "mturk"
    LABEL_STUDIO = "label-studio"
    PROLIFIC = "prolific"


class Channel(StrEnum):
    """Where answers come from."""

    PAGE = "page"
    MTURK = "mturk"
    MTURK_API = "mturk-api"
    LABEL_STUDIO = "label-studio"
    SIMULATED = "simulated"


StudyKindOption = Annotated[StudyKind, typer.Option(help="What is asked about.")]
StateOption = Annotated[
    str, typer.Option(help="Where the page keeps its answers; needed for a root that is no folder.")
]


WithDoubtful = Annotated[
    bool, typer.Option("--with-doubtful", help="Show doubtful pictures to people whom you did not choose, too.")
]
PanelOption = Annotated[str, typer.Option(help="A panel's file (TOML): your texts, codes, pay; docs/study.md.")]


@study.command()
def sample(
    root: Root,
    *,
    n: Annotated[int, typer.Option(help="Images to draw, held-out ones left out.", min=1)] = 10_000,
    heldout: Annotated[int, typer.Option(help="Held-out images to be verified.", min=0)] = 5_000,
    doubtful: Annotated[
        int, typer.Option(help="Pictures that may not be safe, asked first, of your own annotators.", min=0)
    ] = 0,
    workers: Annotated[int, typer.Option(help="Answers an item.", min=1)] = 5,
    gold: Annotated[float, typer.Option(help="Share of gold questions.", min=0, max=0.5)] = 0.05,
    seed: Annotated[int, typer.Option(help="The draw by lot.")] = 0,
    kind: StudyKindOption = StudyKind.CAPTIONS,
    edits: Annotated[str, typer.Option(help="The folder with edits.csv, checks.jsonl or ranking.jsonl.")] = "",
) -> None:
    """Draw the items, or extend what was drawn without asking anything again."""
    from moodarchive.storage.store import Store
    from pipelines.study.steps import draw
    from validate.study.sampling.sample import SampleOptions

    store = Store(root)
    if kind is StudyKind.EDITS:
        from pipelines.study.edit_steps import draw as draw_edits

        typer.echo(draw_edits(store, edits, workers=workers, seed=seed))
        return
    if kind in (StudyKind.CHECKS, StudyKind.RANKING):
        from pipelines.study.record_steps import draw as draw_records

        typer.echo(draw_records(store, kind.value, edits, workers=workers, seed=seed))
        return
    options = SampleOptions(n=n, heldout=heldout, doubtful=doubtful, workers=workers, gold=gold, seed=seed)
    typer.echo(draw(store, options))


@study.command()
def serve(
    root: Root,
    *,
    annotators: Annotated[
        int, typer.Option(help="How many links to give out; 1 where no other way in is asked for.", min=0, max=1_000)
    ] = 0,
    guests: Annotated[
        int, typer.Option("--open", help="Give links to so many who come by one open invitation.", min=0)
    ] = 0,
    closes: Annotated[str, typer.Option(help="The invitation's end: 2026-12-31T18:00:00+00:00.")] = "",
    panel: PanelOption = "",
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65_535)] = 8765,
    kind: StudyKindOption = StudyKind.CAPTIONS,
    state: StateOption = "",
    with_doubtful: WithDoubtful = False,
) -> None:
    """Serve our own page: one process, a link for each annotator; stop it with Ctrl-C and start it again at will."""
    from moodarchive.storage.store import Store
    from pipelines.study.serving import ServeOptions, serve_study

    options = ServeOptions(
        annotators=annotators,
        guests=guests,
        closes=closes,
        panel=panel,
        host=host,
        port=port,
        state=state,
        with_doubtful=with_doubtful,
    )
    serve_study(Store(root), kind.value, options, typer.echo)


@study.command()
def export(
    root: Root,
    *,
    to: Annotated[Vendor, typer.Option(help="Who asks.")],
    pictures_url: Annotated[
        str, typer.Option(help="Where you will put pictures/: https://… in front of KEY.jpg.")
    ] = "",
    reward: Annotated[float, typer.Option(help="US dollars an answer.", min=0.01)] = 0.10,
    masters: Annotated[bool, typer.Option(help="Ask for MTurk's Masters (5% more).")] = False,
    publish: Annotated[bool, typer.Option("--publish", help="Create the HITs, in the sandbox unless --live.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Publish where it costs money.")] = False,
    confirm_cost: Annotated[str, typer.Option(help="The estimated cost in dollars, typed out, for --publish.")] = "",
    panel: PanelOption = "",
    with_doubtful: WithDoubtful = False,
) -> None:
    """Write what MTurk, Label Studio or Prolific needs; or publish HITs after confirming their cost."""
    from moodarchive.storage.store import Store
    from pipelines.study.channels import ExportOptions, export

    options = ExportOptions(
        pictures_url=pictures_url,
        reward=f"{reward:.2f}",
        masters=masters,
        publish=publish,
        live=live,
        confirmed=confirm_cost,
        panel=panel,
        with_doubtful=with_doubtful,
    )
    for line in export(Store(root), to.value, options):
        typer.echo(line)


@study.command("import")
def import_(
    root: Root,
    *,
    source: Annotated[Channel, typer.Option("--from", help="Where the answers come from.")],
    file: Annotated[str, typer.Option(help="The results that MTurk (CSV) or Label Studio (JSON) gave.")] = "",
    closed: Annotated[str, typer.Option(help="Answers after this moment are late: 2026-12-31T18:00:00+00:00.")] = "",
    live: Annotated[bool, typer.Option("--live", help="For mturk-api: the real site instead of the sandbox.")] = False,
    seed: Annotated[int, typer.Option(help="For simulated answers.")] = 0,
    kind: StudyKindOption = StudyKind.CAPTIONS,
    state: StateOption = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Take these in place of what was imported of the same worker and item.")
    ] = False,
    count_rejected: Annotated[
        bool, typer.Option("--count-rejected", help="Count answers that the channel's reviewer refused, too.")
    ] = False,
) -> None:
    """Take answers in; missing, duplicate, late, malformed and foreign ones are counted and named."""
    from moodarchive.storage.store import Store
    from pipelines.study.channels import ImportOptions
    from pipelines.study.steps import import_results

    options = ImportOptions(
        channel=source.value,
        file=file,
        closed=closed,
        live=live,
        seed=seed,
        kind=kind.value,
        state=state,
        replace=replace,
        count_rejected=count_rejected,
    )
    for line in import_results(Store(root), options):
        typer.echo(line)


@study.command()
def settle(
    root: Root,
    *,
    panel: PanelOption = "",
    submissions: Annotated[str, typer.Option(help="The panel's export of submissions (CSV).")] = "",
    output: Annotated[str, typer.Option(help="A folder outside the root: the files name submissions.")] = "",
    state: StateOption = "",
) -> None:
    """Write approvals, rejections and bonuses by submission of a panel; tell attention, time and pay."""
    from moodarchive.storage.store import Store
    from pipelines.study.serving import settle_panel

    for line in settle_panel(Store(root), panel=panel, submissions=submissions, output=output, state=state):
        typer.echo(line)


@study.command()
def report(root: Root, kind: StudyKindOption = StudyKind.CAPTIONS) -> None:
    """Judge, and write the page: rates with intervals, agreement, workers, reasons, rejected pictures."""
    from moodarchive.storage.store import Store
    from pipelines.study.steps import write_study_report

    for line in write_study_report(Store(root), kind.value):
        typer.echo(line)


@study.command()
def apply(root: Root) -> None:
    """Give the verdicts back to the archive, and seal MoodArchive-5k, the verified held-out images."""
    from moodarchive.storage.store import Store
    from pipelines.study.steps import apply_verdicts

    for line in apply_verdicts(Store(root)):
        typer.echo(line)


@study.command()
def reask(root: Root, config: Annotated[str, typer.Argument(help="The archive's settings, with its servers.")]) -> None:
    """Ask the captioner again about pictures whose captions people rejected, and seal anew."""
    from moodarchive.storage.store import Store
    from pipelines.change.reask import reask
    from pipelines.settings import read_settings

    for line in reask(Store(root), read_settings(config)):
        typer.echo(line)
