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
    map_folder: Annotated[
        str, typer.Option("--map", metavar="DIR", help="Write a map for embedding-atlas instead, and open it.")
    ] = "",
    map_pictures: Annotated[int, typer.Option(help="Pictures in the map, drawn by lot.", min=2)] = 20_000,
) -> None:
    """Serve a page over the archive: a wall of pictures to filter, search and mark."""
    from moodarchive.storage.store import Store
    from pipelines.browse.serve import BrowseOptions, serve_browse

    options = BrowseOptions(host=host, port=port, marks=marks, cache=cache, thumbnails_mb=thumbnails_mb)
    if map_folder:
        from pipelines.browse.atlas import open_map, write_map

        path = write_map(Store(root), options, map_folder, map_pictures, typer.echo)
        typer.echo(str(path))
        open_map(path, typer.echo)
        return
    serve_browse(Store(root), options, typer.echo)


@browse_verbs.command(rich_help_panel="Change")
def marks(
    root: Root,
    *,
    takedown: Annotated[
        str, typer.Option(metavar="LIST", help="Write what is marked for a takedown, for moodarchive takedown.")
    ] = "",
    verdicts: Annotated[
        bool, typer.Option("--verdicts", help="Write good and rejected ones into human_verdicts/.")
    ] = False,
    file: Annotated[str, typer.Option("--marks", help="The file that keeps marks; by default under the root.")] = "",
) -> None:
    """Count the marks made in browse; make a takedown list or verdicts of them."""
    from collections import Counter

    from moodarchive.storage.store import Store
    from pipelines.browse.applying import apply_verdicts, write_takedown_list
    from pipelines.browse.marks import MARKS, marks_path, read_marks
    from pipelines.runner.settings_record import require_recorded_settings

    store = Store(root)
    require_recorded_settings(store)
    standing = read_marks(marks_path(store, file)).values()
    counts = Counter(mark.mark for mark in standing)
    typer.echo(", ".join(f"{name} {counts[name]}" for name in MARKS))
    if takedown:
        count = write_takedown_list(standing, takedown)
        typer.echo(f"{takedown}: {count} keys; to erase them: moodarchive takedown {root} {takedown}")
    if verdicts:
        for line in apply_verdicts(store, standing):
            typer.echo(line)
