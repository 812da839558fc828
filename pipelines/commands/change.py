"""The verbs that change a sealed archive: takedown and prune."""

from typing import Annotated

import typer

from pipelines.commands.arguments import Root

change_verbs = typer.Typer()


@change_verbs.command(rich_help_panel="Change")
def takedown(
    root: Root,
    listed: Annotated[
        str,
        typer.Argument(
            metavar="LIST", help="CSV, Parquet or lines: url, key, sha256, source_and_id: SOURCE/ID, creator: NAME."
        ),
    ],
) -> None:
    """Erase images from every table and shard, and keep them out of all later rounds."""
    from moodarchive.storage.store import Store
    from pipelines.change.verbs import take_down

    take_down(Store(root), listed, typer.echo)


@change_verbs.command(rich_help_panel="Change")
def prune(root: Root) -> None:
    """Drop the pictures of images/ once the archive is sealed; the shards hold those that are kept."""
    from moodarchive.storage.store import Store
    from pipelines.change.verbs import prune as drop

    drop(Store(root), typer.echo)


@change_verbs.command(rich_help_panel="Change")
def migrate(root: Root) -> None:
    """Bring an archive of an earlier schema version to the present one; a sealed one ends sealed."""
    from moodarchive.storage.store import Store
    from pipelines.change.migrate import migrate as bring_up_to_date

    bring_up_to_date(Store(root), typer.echo)
