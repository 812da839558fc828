"""The verbs of the editor: edit, studio, integrate and edit-eval."""

from pathlib import Path
from typing import Annotated

import typer

edit_verbs = typer.Typer()

SETTINGS = (
    "preset", "steps", "guidance", "source_guidance", "negative_prompt", "positive_prompt", "tau_c", "structure",
    "strength", "size", "text_encoder", "rounds", "eic",
)  # fmt: skip
"""Those of ``editor.edit.EditSettings`` that are options; one that is left out keeps the method's own value."""

Model = Annotated[str, typer.Option(help="The exported MoodifyCLIP: ROOT/model after `moodarchive train`.")]
Base = Annotated[
    str,
    typer.Option(
        help="The diffusion model: a folder, a hub id, or demo (ours, of drawings); the method's own by default."
    ),
]
MethodName = Annotated[
    str,
    typer.Option("--method", help="moodifier, infedit, instruct-pix2pix, sdedit, emoeditor, epem, colour-transfer."),
]
Server = Annotated[str, typer.Option(help="A served vision-language model that finds prompt and region.")]
Detector = Annotated[str, typer.Option(help="GroundingDINO, a folder or hub id: finds what changes by its name.")]
Segmenter = Annotated[str, typer.Option(help="SAM, a folder or hub id: cuts out what the detector found.")]
ServerModel = Annotated[str, typer.Option(help="The name under which the server knows it.")]
TextEncoder = Annotated[str | None, typer.Option(help="moodify, or clip: the diffusion model's own.")]
Steps = Annotated[int | None, typer.Option(help="Denoising steps.")]
Size = Annotated[int | None, typer.Option(help="Side in pixels at which the model works; 512 fits SD 1.5.")]
Rounds = Annotated[int | None, typer.Option(help="The most passes of emoeditor over a picture; 1 is a single one.")]
Guidance = Annotated[float | None, typer.Option(help="How strongly the prompt guides.")]
Preset = Annotated[str | None, typer.Option(help="faces or objects: the values of moodifier's authors for these.")]
SourceGuidance = Annotated[float | None, typer.Option(help="Of the source branch; 0.6 with --positive-prompt.")]
Negative = Annotated[str | None, typer.Option(help="What the target's guidance leads away from.")]
Positive = Annotated[str | None, typer.Option(help="What the source's guidance is held against.")]
Structure = Annotated[float | None, typer.Option(help="Share of the steps in which shapes are kept from the source.")]
Eic = Annotated[
    bool | None, typer.Option(help="For epem: edit the language model for the emotion, or let it write as it is.")
]
TauC = Annotated[float | None, typer.Option(help="Share of T down to which attention keeps the source's.")]


@edit_verbs.command(rich_help_panel="Edit")
def edit(
    pictures: Annotated[list[str], typer.Argument(metavar="PICTURE…", help="The photos.")],
    *,
    emotion: Annotated[list[str] | None, typer.Option(help="One of the 27; again for several.")] = None,
    instruction: Annotated[str, typer.Option(help="For epem: a sentence that names the emotion, in its place.")] = "",
    out: Annotated[str, typer.Option("--out", "-o", help="The result, or a folder for several.")],
    model: Model = "",
    base: Base = "",
    mask: Annotated[str, typer.Option(help="A picture, white where the photo may change.")] = "",
    box: Annotated[list[str] | None, typer.Option(help="x0,y0,x1,y1 from 0 to 1; again for several.")] = None,
    prompt: Annotated[str, typer.Option(help="What the edited picture shall show, instead of what is found.")] = "",
    whole: Annotated[bool, typer.Option("--whole", help="All of the picture may change.")] = False,
    plain_prompt: Annotated[bool, typer.Option("--plain-prompt", help="The emotion's name alone.")] = False,
    server: Server = "",
    server_model: ServerModel = "",
    detector: Detector = "",
    segmenter: Segmenter = "",
    method: MethodName = "moodifier",
    preset: Preset = None,
    steps: Steps = None,
    size: Size = None,
    guidance: Guidance = None,
    source_guidance: SourceGuidance = None,
    negative_prompt: Negative = None,
    positive_prompt: Positive = None,
    tau_c: TauC = None,
    structure: Structure = None,
    strength: Annotated[float | None, typer.Option(help="Share of the steps that is run: less keeps more.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed gives another edit.", min=0)] = 0,
    text_encoder: TextEncoder = None,
    rounds: Rounds = None,
    eic: Eic = None,
    own_surroundings: Annotated[
        bool, typer.Option(help="Keep the photo's own pixels outside the region, or the autoencoder's.")
    ] = True,
    pairs: Annotated[str, typer.Option(help="A folder for edit-eval: also note pairs.csv, sources, masks.")] = "",
    category: Annotated[str, typer.Option(help="What the pictures show, for --pairs.")] = "all",
) -> None:
    """Edit photos so that they evoke an emotion."""
    from dataclasses import replace
    from pathlib import Path

    from rich.console import Console

    from editor.tools import Tools
    from pipelines.editing.edit import Given, edit_files
    from pipelines.editing.pairs import PairsWanted

    values = (preset, steps, guidance, source_guidance, negative_prompt, positive_prompt, tau_c, structure, strength)
    settings = dict(zip(SETTINGS, (*values, size, text_encoder, rounds, eic), strict=True))
    tools = Tools(method=method, model=model, base=base, server=server, server_model=server_model, settings=settings)
    tools = replace(tools, detector=detector, segmenter=segmenter)
    given = Given(
        instruction=instruction,
        prompt=prompt,
        mask=mask,
        boxes=tuple(box or ()),
        whole=whole,
        plain_prompt=plain_prompt,
        seed=seed,
    )
    tools, console = replace(tools, own_surroundings=own_surroundings), Console(stderr=True)
    noted = PairsWanted(folder=Path(pairs), out=Path(out), category=category) if pairs else None
    edit_files(tools, given, pictures=pictures, emotions=emotion or [], out=out, console=console, pairs=noted)


@edit_verbs.command(rich_help_panel="Edit")
def studio(
    *,
    model: Model = "",
    base: Base = "",
    server: Server = "",
    server_model: ServerModel = "",
    detector: Detector = "",
    segmenter: Segmenter = "",
    method: MethodName = "moodifier",
    preset: Preset = None,
    steps: Steps = None,
    guidance: Guidance = None,
    source_guidance: SourceGuidance = None,
    negative_prompt: Negative = None,
    positive_prompt: Positive = None,
    structure: Structure = None,
    size: Size = None,
    text_encoder: TextEncoder = None,
    rounds: Rounds = None,
    eic: Eic = None,
    host: Annotated[str, typer.Option(help="Where to listen; the page knows no passwords.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 7860,
    root_path: Annotated[str, typer.Option(help="The path under which a proxy shows the page, such as /studio.")] = "",
    public_host: Annotated[
        list[str] | None, typer.Option(help="A name under which a proxy shows the page; again for several.")
    ] = None,
    folder: Annotated[str, typer.Option(help="The work folder: all that the page reads and writes.")] = "runs/studio",
    certificate: Annotated[str, typer.Option(help="Sign saved edits (C2PA): a certificate with its chain, PEM.")] = "",
    key: Annotated[str, typer.Option(help="The certificate's private key, PEM.")] = "",
) -> None:
    """Edit photos on a page in the browser: a brush, the emotions, before and after, a history."""
    from dataclasses import replace
    from pathlib import Path

    from editor.content_credentials import Credentials
    from editor.studio.serve import Address, serve
    from editor.tools import Tools
    from moodarchive.errors import EditError
    from pipelines.editing.edit import make_editor

    values = (preset, steps, guidance, source_guidance, negative_prompt, positive_prompt, None, structure, None)
    settings = dict(zip(SETTINGS, (*values, size, text_encoder, rounds, eic), strict=True))
    tools = Tools(method=method, model=model, base=base, server=server, server_model=server_model, settings=settings)
    tools = replace(tools, detector=detector, segmenter=segmenter)
    address = Address(host=host, port=port, root_path=root_path, public_hosts=tuple(public_host or ()))
    if bool(certificate) != bool(key):
        raise EditError("--certificate and --key go together; remedy: give both, or neither")
    credentials = Credentials(certificate=Path(certificate), key=Path(key)) if key else None
    serve(make_editor(tools), Path(folder), address=address, tell=typer.echo, credentials=credentials)


@edit_verbs.command(rich_help_panel="Edit")
def integrate(
    program: Annotated[str, typer.Argument(metavar="PROGRAM", help="diffusers or comfyui.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, or one of an earlier version.")],
    *,
    model: Model = "",
    base: Base = "",
    method: Annotated[str, typer.Option(help="For diffusers: the method that the folder loads.")] = "",
    server: Server = "",
    server_model: ServerModel = "",
) -> None:
    """Write the folder that another program loads: blocks of diffusers, nodes of ComfyUI."""
    from editor.edit import require_method
    from editor.integrations.write import write_folder

    if method:
        require_method(method)
    absolute = {
        name: str(Path(value).absolute()) if value and Path(value).is_dir() else value
        for name, value in (("base", base), ("model", model))
    }
    config = {**absolute, "method": method, "server": server, "server_model": server_model}
    for path in write_folder(program, folder, config):
        typer.echo(str(path))


@edit_verbs.command("edit-eval", rich_help_panel="Edit")
def edit_eval(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with pairs.csv or pairs.parquet.")],
    *,
    dino: Annotated[str, typer.Option(help="DINO ViT-B/8: a hub id or folder.")] = "facebook/dino-vitb8",
    lpips: Annotated[str, typer.Option(help="SqueezeNet 1.1: a file or folder; torchvision's by default.")] = "",
    clip: Annotated[
        str, typer.Option(help="OpenAI's CLIP L/14: a hub id or folder.")
    ] = "openai/clip-vit-large-patch14",
    emotions: Annotated[str, typer.Option(help="A classifier of Mikels' eight: a hub id or folder.")] = "",
    inception: Annotated[str, typer.Option(help="Torchvision's Inception v3, a file or folder: FID.")] = "",
    server: Annotated[str, typer.Option(help="A served model that names each edit's emotion.")] = "",
    server_model: ServerModel = "",
    people: Annotated[str, typer.Option(help="A study's checked.jsonl whose keys are the edits' paths.")] = "",
    threads: Annotated[int, typer.Option(help="CPU threads; the last bits depend on them.", min=1)] = 1,
) -> None:
    """Measure edited pictures as the papers do; print tables 4 and 5 beside; write a page with contact sheets."""
    from rich.console import Console

    from pipelines.editing.evaluation import EvaluationOptions, run_edit_evaluation

    options = EvaluationOptions(
        dino=dino,
        lpips=lpips,
        clip=clip,
        emotions=emotions,
        inception=inception,
        server=server,
        server_model=server_model,
        people=people,
        threads=threads,
    )
    if not run_edit_evaluation(folder, options, Console()):
        raise typer.Exit(1)
