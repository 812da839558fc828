"""The verbs by which people look at an archive and judge it: browse, and what becomes of their marks."""

from typing import Annotated

import typer

from pipelines.commands.arguments import Root

browse_verbs = typer.Typer()


@browse_verbs.command(rich_help_panel="Inspect")
def browse(
    root: Root,
    *,
    host: Annotated[str, typer.Option(help="Where to listen; another than loopback asks for a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 0,
    marks: Annotated[str, typer.Option(help="The file that keeps marks; by default under the root.")] = "",
    cache: Annotated[str, typer.Option(help="A folder outside the root for index and thumbnails.")] = "",
    thumbnails_mb: Annotated[int, typer.Option(help="Megabytes of thumbnails that are kept.", min=16)] = 512,
) -> None:
    """Serve a page over the archive: a wall of pictures to filter, search and mark."""
    from moodarchive.storage.store import Store
    from pipelines.browse.serve import BrowseOptions, serve_browse

    options = BrowseOptions(host=host, port=port, marks=marks, cache=cache, thumbnails_mb=thumbnails_mb)
    serve_browse(Store(root), options, typer.echo)
