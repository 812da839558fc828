"""A base as the folder that diffusers and the editor open: vae/, unet/, scheduler/, in half precision."""

import copy
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moodarchive.errors import ConfigError
from train.diffusion.denoiser import SCHEDULER, open_levels, own_levels


def write_base(folder: Path, vae: Any, unet: Any) -> None:
    """Writes the three parts; equal weights give equal bytes."""
    import torch

    for name, model in (("vae", vae), ("unet", unet)):
        halved = copy.deepcopy(model)
        for tensor in (*halved.parameters(), *halved.buffers()):
            tensor.data = tensor.data.to("cpu", torch.float16)
        halved.save_pretrained(folder / name, safe_serialization=True)
        config = json.loads((folder / name / "config.json").read_text("utf-8"))
        config.pop("_name_or_path", None)  # where a start lay is no part of a model
        (folder / name / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
        for file in (folder / name).iterdir():
            file.chmod(0o644)  # safetensors leaves it readable by its owner alone
    (folder / "scheduler").mkdir(parents=True, exist_ok=True)
    config = {"_class_name": "DDIMScheduler", **SCHEDULER}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def open_start(folder: Path, *, size: int, text_width: int) -> tuple[Any, Any]:
    """Autoencoder and UNet of a base that is trained on, in float32.

    ConfigError for a folder that lacks them, and for a base of another schedule, text width or multiple of ``size``;
    EditError for a part that cannot be read, and a base that predicts something else than the noise.
    """
    import torch

    from moodarchive.diffusion.parts import diffusion_library, read_model, read_schedule

    for part in ("vae", "unet", "scheduler"):
        if not (folder / part).is_dir():
            raise ConfigError(
                f"start = {str(folder)!r} has no {part}/; remedy: a base's folder, as diffusers writes it"
            )
    read_schedule(folder / "scheduler", "a training that goes on from it")
    if not torch.equal(open_levels(folder / "scheduler"), own_levels()):
        raise ConfigError(
            f"start = {str(folder)!r} has another schedule than Stable Diffusion 1.5's; remedy: a base of that schedule"
        )
    library = diffusion_library()
    vae = read_model(library.AutoencoderKL, folder / "vae", torch.float32)
    unet = read_model(library.UNet2DConditionModel, folder / "unet", torch.float32)
    if unet.config.cross_attention_dim != text_width:
        raise ConfigError(
            f"start = {str(folder)!r} reads texts of width {unet.config.cross_attention_dim}, the text towers give "
            f"{text_width}; remedy: `texts` of the base's own kind"
        )
    multiple = 2 ** (len(vae.config.block_out_channels) + len(unet.config.block_out_channels) - 2)
    if size % multiple:
        raise ConfigError(f"size = {size} must be a multiple of {multiple}, the coarsest cell of {str(folder)!r}")
    return vae, unet.train().to(memory_format=torch.channels_last)


def add_text_tower(folder: Path, tower: tuple[Path, Path]) -> None:
    """Copies a text model and its tokenizer to text_encoder/ and tokenizer/ of a base."""
    for name, source in zip(("text_encoder", "tokenizer"), tower, strict=True):
        shutil.copytree(source, folder / name, dirs_exist_ok=True)


def write_card(folder: Path, facts: Sequence[str]) -> None:
    """README.md, from which a person learns what a base was trained on."""
    lines = ["# A diffusion model of Stable Diffusion 1.5's class layout", "", *(f"- {fact}" for fact in facts)]
    (folder / "README.md").write_text("\n".join(lines) + "\n", "utf-8")
