"""The verbs of EmoPair sets: pairs build, instructions, candidates, export and verify."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.problems import prove_set_whole

pairs = typer.Typer(no_args_is_help=True, help="Pairs of pictures that EmoEditor is trained on (EmoPair).")
Root = Annotated[str, typer.Argument(metavar="ROOT", help="The set's folder, or a bucket.")]


@pairs.command()
def build(
    config: Annotated[str, typer.Argument(help="The settings, a TOML file; see configs/pairs/.")], root: Root
) -> None:
    """Build a set, or go on where a killed build stood: pictures are had, pairs judged and packed, the set sealed."""
    from pipelines.editing.sets.emopair.build import build_pairs
    from pipelines.editing.sets.emopair.settings import PairSettings
    from pipelines.editing.sets.settings import read_set_settings

    manifest = build_pairs(read_set_settings(PairSettings, config), root)
    left = ", ".join(f"{count:,} {reason}" for reason, count in manifest.reasons.items())
    typer.echo(f"{manifest.kept:,} of {manifest.pairs:,} pairs kept{f'; left out: {left}' if left else ''}")
    typer.echo(", ".join(f"{name} {count:,}" for name, count in manifest.sets.items()))


@pairs.command()
def instructions(
    file: Annotated[Path, typer.Argument(help="The JSON file to write, or to complete.")],
    *,
    server: Annotated[str, typer.Option(help="A served language model.")],
    server_model: Annotated[str, typer.Option(help="The name under which the server knows it.")],
    count: Annotated[int, typer.Option(help="Of each class.", min=1, max=500)] = 50,
    seed: Annotated[int, typer.Option(help="Another seed gives others.")] = 0,
) -> None:
    """Have a served model write generic instructions for each class, which people then rank."""
    from pipelines.editing.sets.emopair.instructions import write_instructions

    write_instructions(file, server=server, model=server_model, count=count, seed=seed, tell=typer.echo)


@pairs.command()
def candidates(
    config: Annotated[str, typer.Argument(help="The settings, a TOML file; configs/candidates/emopair.toml is one.")],
    folder: Annotated[Path, typer.Argument(help="Where pictures and ranking.jsonl are written.")],
) -> None:
    """Edit each source several times, for people to choose from in `moodarchive study --kind ranking`."""
    from pipelines.editing.sets.emopair.candidates import write_candidates
    from pipelines.editing.sets.emopair.settings import CandidateSettings
    from pipelines.editing.sets.settings import read_set_settings

    records = write_candidates(read_set_settings(CandidateSettings, config), folder, typer.echo)
    typer.echo(f"{records:,} records in {folder}; next: moodarchive study sample ROOT --kind ranking --edits {folder}")


@pairs.command()
def export(
    root: Root,
    file: Annotated[Path, typer.Argument(help="The JSON file to write.")],
    *,
    kept: Annotated[bool, typer.Option("--kept", help="Only pairs that are in the shards.")] = False,
) -> None:
    """Write a set's rows as the authors' data_EmoPair.json."""
    from pipelines.editing.sets.emopair.build import export_json

    typer.echo(f"{export_json(root, file, kept_only=kept):,} pairs in {file}")


@pairs.command()
def verify(root: Root) -> None:
    """Prove a set whole: every file, row and sample is what the manifest says."""
    from pipelines.editing.sets.emopair.verify import verify_pairs

    prove_set_whole(verify_pairs(root))
