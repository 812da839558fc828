"""A base as the folder that diffusers and the editor open: vae/, unet/, scheduler/, in half precision."""

import copy
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.diffusion.denoiser import SCHEDULER


def write_base(folder: Path, vae: Any, unet: Any) -> None:
    """Writes the three parts; equal weights give equal bytes."""
    import torch

    for name, model in (("vae", vae), ("unet", unet)):
        halved = copy.deepcopy(model)
        for tensor in (*halved.parameters(), *halved.buffers()):
            tensor.data = tensor.data.to("cpu", torch.float16)
        halved.save_pretrained(folder / name, safe_serialization=True)
        for file in (folder / name).iterdir():
            file.chmod(0o644)  # safetensors leaves it readable by its owner alone
    (folder / "scheduler").mkdir(parents=True, exist_ok=True)
    config = {"_class_name": "DDIMScheduler", **SCHEDULER}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def add_text_tower(folder: Path, tower: tuple[Path, Path]) -> None:
    """Copies a text model and its tokenizer to text_encoder/ and tokenizer/ of a base."""
    for name, source in zip(("text_encoder", "tokenizer"), tower, strict=True):
        shutil.copytree(source, folder / name, dirs_exist_ok=True)


def write_card(folder: Path, facts: Sequence[str]) -> None:
    """README.md, from which a person learns what a base was trained on."""
    lines = ["# A diffusion model of Stable Diffusion 1.5's class layout", "", *(f"- {fact}" for fact in facts)]
    (folder / "README.md").write_text("\n".join(lines) + "\n", "utf-8")
