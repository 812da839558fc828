"""What PER trains and what it leaves alone; and the folder that the editor opens."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from moodarchive.diffusion.parts import diffusion_library, read_model
from moodarchive.diffusion.queries import InstructionReader
from moodarchive.diffusion.retaining import (
    READER,
    VISION,
    Retaining,
    RetainingConfig,
    attention_widths,
    make_retaining,
    require_fitting_parts,
)
from moodarchive.diffusion.text import TextTower
from moodarchive.diffusion.vision import PictureEncoder, open_picture_encoder, read_json, read_weights
from moodarchive.errors import ConfigError
from train.epem.settings import EpemSettings

_QFORMER_WEIGHTS = ("qformer.", "embeddings.", "query_tokens")


class Frozen:
    """U, VAE, text tower and picture encoder; every configuration is looked at before the first weight is read."""

    def __init__(self, settings: EpemSettings, device: torch.device) -> None:
        self.base, self.blip2 = _folder("base", settings.base), _folder("blip2", settings.blip2)
        text = _folder("text", settings.text) if settings.text else None
        self.text_folders = (text, text) if text else (self.base / "text_encoder", self.base / "tokenizer")
        self.reader_folder = _reader_folder(settings, self.blip2)
        of_blip2 = read_json(self.blip2 / "config.json")
        if "qformer_config" not in of_blip2:
            raise ConfigError(f"blip2 = {settings.blip2!r} has no Q-Former; remedy: a BLIP-2 of transformers")
        require_fitting_parts(self.base / "unet", self.base / "vae", self.text_folders[0])
        self.qformer = RetainingConfig.qformer_of(of_blip2["qformer_config"])
        diffusers = diffusion_library()
        self.reader = InstructionReader(self.reader_folder, settings.instruction_tokens)
        if len(self.reader) > self.qformer["vocab_size"]:
            raise ConfigError(
                f"the tokenizer in {self.reader_folder} has {len(self.reader):,} tokens, the Q-Former reads "
                f"{self.qformer['vocab_size']:,}; remedy: qformer_tokenizer = the folder of bert-base-uncased's, or of "
                "the BLIP-2's own"
            )
        self.vision: PictureEncoder = open_picture_encoder(self.blip2, device, torch.float32)
        self.vae: Any = read_model(diffusers.AutoencoderKL, self.base / "vae", torch.float32).to(device)
        self.vae.requires_grad_(False)
        self.unet: Any = read_model(diffusers.UNet2DConditionModel, self.base / "unet", torch.float32).to(device)
        self.unet.requires_grad_(False)
        if settings.activation_checkpoints:
            self.unet.enable_gradient_checkpointing()
        self.text = TextTower(
            model=self.text_folders[0], tokenizer=self.text_folders[1], device=device, dtype=torch.float32
        )


def _folder(name: str, given: str) -> Path:
    folder = Path(given).expanduser()
    if not given or not folder.is_dir():
        raise ConfigError(f"{name} = {given!r}: there is no such folder; remedy: that of a model, see docs/epem.md")
    return folder


def _reader_folder(settings: EpemSettings, blip2: Path) -> Path:
    if settings.qformer_tokenizer:
        return _folder("qformer_tokenizer", settings.qformer_tokenizer)
    return blip2 / READER if (blip2 / READER).is_dir() else blip2


def make_model(settings: EpemSettings, frozen: Frozen) -> tuple[Retaining, list[str]]:
    """All that learns, attached to U; and which parts of the Q-Former are random because the BLIP-2 has none."""
    unet = frozen.unet
    config = RetainingConfig(
        qformer=frozen.qformer,
        queries=settings.queries,
        instruction_tokens=settings.instruction_tokens,
        channels=int(unet.config.out_channels),
        input_width=int(unet.conv_in.out_channels),
        text_width=frozen.text.width,
        attention=attention_widths(unet),
        heads=settings.heads,
        hidden=settings.hidden,
        eai=settings.eai,
    )
    retaining = make_retaining(config, settings.seed)
    lacking = retaining.qformer.start_from(read_weights(frozen.blip2, _QFORMER_WEIGHTS))
    retaining.attach(unet)
    return retaining, lacking


def export(folder: Path, retaining: Retaining, frozen: Frozen, facts: Sequence[str]) -> None:
    """Writes what was learnt, and copies the parts that it goes with; the folder appears when it is whole."""
    draft = folder.with_name(f"{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    retaining.save(draft)
    for name in ("unet", "vae", "scheduler"):
        shutil.copytree(frozen.base / name, draft / name)
    for name, source in zip(("text_encoder", "tokenizer"), frozen.text_folders, strict=True):
        shutil.copytree(source, draft / name)
    frozen.vision.save(draft / VISION)
    (draft / READER).mkdir()
    frozen.reader.save(draft / READER)
    (draft / "README.md").write_text("# EPEM\n\n" + "\n".join(f"- {fact}" for fact in facts) + "\n", "utf-8")
    (draft / "model_index.json").write_text(json.dumps({"method": "epem"}) + "\n", "utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
