"""The verbs of L-AVC sets: lavc build, checks, export and verify."""

from typing import Annotated

import typer

from pipelines.commands.problems import prove_set_whole

lavc = typer.Typer(no_args_is_help=True, help="Captions and pictures before and after an instruction (L-AVC).")
Root = Annotated[str, typer.Argument(metavar="ROOT", help="The set's folder, or a bucket.")]


@lavc.command()
def build(
    config: Annotated[str, typer.Argument(help="The settings, a TOML file; see configs/lavc/.")], root: Root
) -> None:
    """Build a set, or go on where a killed build stood: JSON lines, pictures before and after, the seal."""
    from pipelines.editing.sets.lavc.build import build_lavc
    from pipelines.editing.sets.lavc.settings import LavcSettings
    from pipelines.editing.sets.settings import read_set_settings

    manifest = build_lavc(read_set_settings(LavcSettings, config), root)
    splits = ", ".join(f"{name} {count:,}" for name, count in manifest["splits"].items())
    typer.echo(f"{manifest['kept']:,} of {manifest['records']:,} records kept{f': {splits}' if splits else ''}")
    if manifest["reasons"]:
        typer.echo("rejected: " + ", ".join(f"{count:,} {name}" for name, count in manifest["reasons"].items()))


@lavc.command()
def checks(root: Root, folder: Annotated[str, typer.Argument(help="A new folder.")]) -> None:
    """Write a whole set's kept records as `moodarchive study sample --kind checks --edits` reads them."""
    from pipelines.editing.sets.lavc.checks import write_checks

    typer.echo(f"{write_checks(root, folder):,} records to check in {folder}")


@lavc.command()
def export(
    root: Root,
    folder: Annotated[str, typer.Argument(help="A new folder, or a bucket.")],
    *,
    checked: Annotated[str, typer.Option(help="A study's checked.jsonl: only what people accepted is written.")] = "",
) -> None:
    """Write a whole set's kept records as WebDataset shards with a manifest of their digests."""
    from pipelines.editing.sets.lavc.shards import export_shards

    typer.echo(f"{export_shards(root, folder, checked):,} samples in {folder}")


@lavc.command()
def verify(root: Root) -> None:
    """Prove a set whole: every file and record is what the manifest says."""
    from pipelines.editing.sets.lavc.verify import verify_lavc

    prove_set_whole(verify_lavc(root))
