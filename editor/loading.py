"""Loads a method: finds its weights, then opens them and sees that they fit together."""

from editor.edit import EditSettings, Method, require_method
from editor.methods.base import choose_device_and_dtype, open_base
from editor.methods.baselines import Baseline, ColourTransfer
from editor.methods.emoeditor import EmoEditor
from editor.methods.epem import Epem
from editor.methods.moodifier import InversionFree
from editor.methods.references import open_references
from editor.weights import (
    base_folder,
    caption_editor_folder,
    emoeditor_folder,
    epem_folder,
    moodify_folder,
    own_tokenizer,
)
from moodarchive.diffusion.parts import diffusion_library
from moodarchive.diffusion.text import TextTower, require_fitting_text


def load_method(name: str, base: str, model: str | None, settings: EditSettings) -> Method:
    """The method with its weights in memory; every folder is looked for before the first model is read.

    ``base`` is a diffusion model's folder or hub id (for emoeditor and epem an exported one's folder, for
    colour-transfer reference pictures), ``model`` an exported MoodifyCLIP's folder (None where the text encoder is
    "clip"; for epem a caption editor's, or None).
    MissingWeightsError tells what is not there, EditError what does not fit together.
    """
    require_method(name)
    if name == "epem":
        return Epem(epem_folder(base), caption_editor_folder(model) if model else None, settings)
    if name == "colour-transfer":
        return ColourTransfer(open_references(base))
    if name == "emoeditor":
        return EmoEditor(emoeditor_folder(base), settings)
    if name in ("instruct-pix2pix", "sdedit"):
        parts = ("unet", "vae", "scheduler", "text_encoder", "tokenizer")
        return Baseline(name=name, folder=base_folder(base, name, parts), settings=settings)
    moodify = name == "moodifier" and settings.text_encoder == "moodify"
    hub = moodify_folder(model) if moodify else None
    own = () if moodify else ("text_encoder", "tokenizer")
    folder = base_folder(base, name, ("unet", "vae", "scheduler", *own))
    diffusion_library()
    device, dtype = choose_device_and_dtype(settings)
    text = TextTower(
        model=hub or folder / "text_encoder",
        tokenizer=own_tokenizer(hub) if hub else folder / "tokenizer",
        device=device,
        dtype=dtype,
        padding=settings.padding,
    )
    opened = open_base(folder, settings)
    require_fitting_text(text, int(opened.unet.config.cross_attention_dim), str(hub or folder))
    return InversionFree(name=name, base=opened, text=text, settings=settings, controlled=name == "moodifier")
