"""What learns: the widened UNet and the emotion encoder; and the folder that the editor opens."""

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from moodarchive.diffusion.emotion import EmotionEncoder, EncoderConfig
from moodarchive.diffusion.parts import diffusion_library, read_model
from moodarchive.diffusion.text import TextTower, require_fitting_text, text_folders
from moodarchive.diffusion.widening import widen_unet
from moodarchive.emotions.taxonomy import MIKELS_EIGHT
from moodarchive.errors import ConfigError
from train.emoeditor.pairs import Pairs
from train.emoeditor.settings import EmoEditorSettings


class EmoEditorModel(nn.Module):
    """U and M; all of their weights learn."""

    def __init__(self, unet: Any, encoder: EmotionEncoder) -> None:
        super().__init__()
        self.unet, self.encoder = unet, encoder

    def forward(self, latents: Tensor, images: Tensor, times: Tensor, states: Tensor) -> Tensor:
        """The noise in z_t [B, 4, h, w], seen beside c_I of the same shape, attending to [B, tokens, width]."""
        noise: Tensor = self.unet(torch.cat([latents, images], 1), times, encoder_hidden_states=states).sample
        return noise


class Frozen:
    """The parts that do not learn, as the settings name them: VAE, text tower, and where the folders are."""

    def __init__(self, settings: EmoEditorSettings, device: torch.device) -> None:
        self.base = _folder("base", settings.base)
        self.predictor = _folder("predictor", settings.predictor)
        self.text_folders = text_folders(Path(settings.text).expanduser() if settings.text else self.base)
        diffusers = diffusion_library()
        self.vae: Any = read_model(diffusers.AutoencoderKL, self.base / "vae", torch.float32).to(device)
        self.vae.requires_grad_(False)
        self.text = TextTower(
            model=self.text_folders[0], tokenizer=self.text_folders[1], device=device, dtype=torch.float32
        )


_REMEDIES = {
    "base": "an InstructPix2Pix's: hf download timbrooks/instruct-pix2pix --local-dir FOLDER",
    "predictor": "a predictor's, which moodarchive train makes with kind = 'predictor' (OUTPUT/model)",
}


def _folder(name: str, given: str) -> Path:
    folder = Path(given).expanduser()
    if not given or not folder.is_dir():
        raise ConfigError(f"{name} = {given!r}: there is no such folder; remedy: {_REMEDIES[name]}")
    return folder


def make_model(settings: EmoEditorSettings, frozen: Frozen, pairs: Pairs) -> EmoEditorModel:
    """The base's UNet, widened where it must be, and an encoder of random weights of the seed."""
    unet = widen_unet(read_model(diffusion_library().UNet2DConditionModel, frozen.base / "unet", torch.float32))
    require_fitting_text(frozen.text, int(unet.config.cross_attention_dim), str(frozen.text_folders[0]))
    if settings.activation_checkpoints:
        unet.enable_gradient_checkpointing()
    config = EncoderConfig(
        width=frozen.text.width,
        tokens=frozen.text.context,
        hidden=settings.hidden,
        condition=settings.condition,
        instructions=_instructions(pairs, settings.kept_instructions) if settings.condition == "text" else (),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        encoder = EmotionEncoder(config)
    return EmoEditorModel(unet, encoder)


def _instructions(pairs: Pairs, most: int) -> tuple[tuple[str, ...], ...]:
    """The most frequent of each class; of equally frequent ones, the first by letters."""
    counts: dict[int, Counter[str]] = {index: Counter() for index in range(len(MIKELS_EIGHT))}
    for target, prompt in zip(pairs.targets, pairs.prompts, strict=True):
        counts[target][prompt] += 1
    ranked = ([text for _, text in sorted((-count, text) for text, count in of.items())] for of in counts.values())
    return tuple(tuple(texts[:most]) for texts in ranked)


def export(folder: Path, model: EmoEditorModel, frozen: Frozen, facts: Sequence[str]) -> None:
    """Writes unet, vae, scheduler, text_encoder, tokenizer, predictor, the encoder, and a card of ``facts``.

    What did not learn is copied file by file. The folder appears when it is whole.
    """
    draft = folder.with_name(f"{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    model.unet.save_pretrained(draft / "unet", safe_serialization=True)
    model.encoder.save(draft)
    for name in ("vae", "scheduler"):
        shutil.copytree(frozen.base / name, draft / name)
    shutil.copytree(frozen.predictor, draft / "predictor")
    for name, source in zip(("text_encoder", "tokenizer"), frozen.text_folders, strict=True):
        shutil.copytree(source, draft / name)
    (draft / "README.md").write_text("# EmoEditor\n\n" + "\n".join(f"- {fact}" for fact in facts) + "\n", "utf-8")
    (draft / "model_index.json").write_text(json.dumps({"method": "emoeditor"}) + "\n", "utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
