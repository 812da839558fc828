"""The verbs of L-AVC sets: lavc build, export and verify."""

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
    from pipelines.lavc.build import build_lavc, read_lavc_settings

    manifest = build_lavc(read_lavc_settings(config), root)
    splits = ", ".join(f"{name} {count:,}" for name, count in manifest["splits"].items())
    typer.echo(f"{manifest['kept']:,} of {manifest['records']:,} records kept: {splits}")


@lavc.command()
def export(root: Root, folder: Annotated[str, typer.Argument(help="A new folder, or a bucket.")]) -> None:
    """Write a whole set's kept records as WebDataset shards with a manifest of their digests."""
    from pipelines.lavc.shards import export_shards

    typer.echo(f"{export_shards(root, folder):,} samples in {folder}")


@lavc.command()
def verify(root: Root) -> None:
    """Prove a set whole: every file and record is what the manifest says."""
    from pipelines.lavc.verify import verify_lavc

    prove_set_whole(verify_lavc(root))
