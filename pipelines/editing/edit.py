"""What `moodarchive edit` does: pictures and emotions in, edits with their records out."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress

from annotate.caption import CaptionSettings
from editor.job import Editor, EditResult
from editor.pictures import read_mask, read_picture
from editor.planning.instructions import read_instruction
from editor.planning.plan import EditRequest
from editor.planning.regions import Box
from editor.provenance import SUFFIXES, require_edit_or_nothing, write_edit
from editor.tools import Tools
from editor.tools import make_editor as tools_to_editor
from moodarchive.errors import EditError, PictureError
from pipelines.demo.bundled_base import with_bundled_base
from pipelines.editing.pairs import PairsWanted


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a person gives, as it stands on the command line; see ``editor.planning.plan.EditRequest``."""

    prompt: str = ""
    instruction: str = ""
    mask: str = ""
    boxes: tuple[str, ...] = ()
    whole: bool = False
    plain_prompt: bool = False
    seed: int = 0


def make_editor(tools: Tools) -> Editor:
    """Nothing is loaded yet; a server whose model is not named is x."""
    tools = with_bundled_base(tools)
    return tools_to_editor(replace(tools, server_model=tools.server_model or CaptionSettings().model))


def edit_files(
    tools: Tools,
    given: Given,
    *,
    pictures: Sequence[str],
    emotions: Sequence[str],
    out: str,
    console: Console,
    pairs: PairsWanted | None = None,
) -> None:
    """Writes every picture in every emotion, and its row for `moodarchive edit-eval` where ``pairs`` are given.

    Of several pictures each that cannot be read is named and left out, and the command ends with 1.
    """
    requests = [_request(given, emotion) for emotion in _emotions(tools.method, given.instruction, emotions)]
    targets = _targets(list(dict.fromkeys(pictures)), [request.emotion for request in requests], out)
    for paths in targets.values():
        for path in paths:
            require_edit_or_nothing(path)
    editor = make_editor(tools)
    failures = 0
    for name, paths in targets.items():
        try:
            made = _edit_one(editor, name, given.mask, requests, console)
        except PictureError as error:
            if len(targets) == 1:
                raise
            failures += 1
            typer.echo(f"error: {error}", err=True)
            continue
        for path, edited in zip(paths, made, strict=True):
            write_edit(path, edited.image, edited.record)
            _print_result(path, edited)
        if pairs:
            pairs.note(Path(name), list(zip(paths, made, strict=True)))
    if failures:
        typer.echo(f"{failures} of {len(targets)} pictures could not be edited", err=True)
        raise typer.Exit(1)


def _emotions(method: str, instruction: str, emotions: Sequence[str]) -> list[str]:
    """Those that are named, or that of the instruction, before anything is read; EditError for neither or both."""
    if instruction and method != "epem":
        raise EditError(f"--instruction is epem's; remedy: --emotion for {method}")
    if bool(instruction) == bool(emotions):
        raise EditError("wanted is --emotion, or for epem an --instruction that names one; remedy: give one of the two")
    return list(dict.fromkeys(emotions)) or [read_instruction(instruction).target]


def _request(given: Given, emotion: str) -> EditRequest:
    if given.mask and (given.boxes or given.whole):  # told before any picture is read
        raise EditError("--mask excludes --box and --whole; remedy: paint the boxes into the mask, or leave one out")
    return EditRequest(
        emotion=emotion,
        prompt=given.prompt,
        instruction=given.instruction,
        boxes=tuple(Box.parse(box) for box in given.boxes),
        whole=given.whole,
        plain=given.plain_prompt,
        seed=given.seed,
    )


def _edit_one(
    editor: Editor, name: str, mask: str, requests: Sequence[EditRequest], console: Console
) -> list[EditResult]:
    source = read_picture(name)
    for note in source.notes:
        typer.echo(f"{name}: {note}", err=True)
    if mask:
        drawn = read_mask(mask, source.image.size)
        requests = [replace(request, mask=drawn) for request in requests]
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(Path(name).name, total=None)
        return editor.edit(source, requests, lambda done, of: bar.update(task, completed=done, total=of), lambda: False)


def _targets(pictures: Sequence[str], emotions: Sequence[str], given_out: str) -> dict[str, list[Path]]:
    """Each picture's outputs, one an emotion, in order; EditError when one would fall on another or on a source."""
    out = Path(given_out)
    is_folder = out.is_dir() or given_out.endswith(("/", os.sep))
    if out.suffix.lower() in SUFFIXES and not is_folder:
        if len(pictures) * len(emotions) > 1:
            raise EditError(f"-o {out} is one file; remedy: name a folder for several pictures or emotions")
        targets = {pictures[0]: [out]}
    elif not is_folder and (out.exists() or out.suffix):
        raise EditError(
            f"-o {given_out} is neither a folder nor one of {', '.join(SUFFIXES)}; remedy: one of these endings, or / "
            "at the end of a new folder's name"
        )
    else:
        targets = {name: [out / f"{Path(name).stem}-{emotion}.png" for emotion in emotions] for name in pictures}
    taken: dict[Path, str] = {Path(name).resolve(): name for name in pictures}
    for name, paths in targets.items():
        for path in paths:
            if (other := taken.setdefault(path.resolve(), name)) != name or path.resolve() == Path(name).resolve():
                raise EditError(f"{path} would be written over {other}; remedy: another -o")
    return targets


def _print_result(path: Path, edited: EditResult) -> None:
    plan = edited.plan
    region = "everywhere" if plan.mask is None else f"{float((plan.mask > 0).mean()):.0%} of the picture"
    typer.echo(f"{path}")
    typer.echo(f"  prompt ({plan.prompt_by}): {plan.prompt}", err=True)
    typer.echo(f"  region ({plan.region_by}): {region}", err=True)
    for note in plan.notes:
        typer.echo(f"  note: {note}", err=True)
