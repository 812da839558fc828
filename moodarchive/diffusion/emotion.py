"""Emotions as conditions of a diffusion model: direction, encoder and alignment loss (EmoEditor, arXiv 2403.08255).

Every distribution is over Mikels' eight in their alphabetical order.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from moodarchive.emotions.taxonomy import MIKELS, MIKELS_EIGHT
from moodarchive.errors import EditError

Condition = Literal["direction", "onehot", "text"]
"""What the UNet attends to: M of the direction, M of the target alone, or an instruction's text states."""
CLASSES = len(MIKELS_EIGHT)
WEIGHTS_FILE, CONFIG_FILE = "emotion_encoder.safetensors", "emotion_encoder.json"


def class_of(emotion: str) -> int:
    """The index of one of the eight, or of what one of the 27 is among them; EditError for the three without any."""
    name = MIKELS.get(emotion, emotion)
    if name not in MIKELS_EIGHT:
        raise EditError(
            f"{emotion!r} is none of Mikels' eight ({', '.join(MIKELS_EIGHT)}), which this editor knows; remedy: one "
            f"of them, or one of {', '.join(MIKELS)}"
        )
    return MIKELS_EIGHT.index(name)


def onehot(classes: Sequence[int] | Tensor) -> Tensor:
    """float32 [B, 8]."""
    return nn.functional.one_hot(torch.as_tensor(classes, dtype=torch.long), CLASSES).float()


def direction(classes: Sequence[int] | Tensor, distribution: Tensor) -> Tensor:
    """onehot(target) - the picture's own distribution, [B, 8]; sums to 0, and is 0 where nothing is to change."""
    return onehot(classes).to(distribution) - distribution


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The encoder's shapes and what it is fed: ``width`` and ``tokens`` are those of the base's text states."""

    width: int = 768
    tokens: int = 77
    hidden: tuple[int, ...] = (256, 512, 768)
    condition: Condition = "direction"
    classes: tuple[str, ...] = MIKELS_EIGHT
    instructions: tuple[tuple[str, ...], ...] = ()
    """Of each class, what the text arm is told; empty for the others."""


class EmotionEncoder(nn.Module):
    """M: [B, 8] -> [B, tokens, width]; linear layers with ReLU between (46,003,456 weights at the paper's widths)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        sizes = (CLASSES, *config.hidden, config.tokens * config.width)
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, emotions: Tensor) -> Tensor:
        states: Tensor = self.layers(emotions)
        return states.view(-1, self.config.tokens, self.config.width)

    def save(self, folder: Path) -> None:
        """Writes weights and shapes beside the model's other parts."""
        from safetensors.torch import save_file

        save_file(
            {name: tensor.contiguous().cpu() for name, tensor in self.state_dict().items()}, folder / WEIGHTS_FILE
        )
        (folder / CONFIG_FILE).write_text(json.dumps(asdict(self.config), indent=1, ensure_ascii=False) + "\n", "utf-8")


def open_encoder(folder: Path) -> EmotionEncoder:
    """What ``save`` wrote, in evaluation mode; EditError where it cannot be read, or orders its classes otherwise."""
    from safetensors.torch import load_file

    try:
        values = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
        values |= {name: tuple(values[name]) for name in ("hidden", "classes")}
        values["instructions"] = tuple(map(tuple, values["instructions"]))
        config = EncoderConfig(**values)
        encoder = EmotionEncoder(config)
        encoder.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except Exception as error:  # safetensors has errors of its own, and a file of outside may hold anything
        raise EditError(f"the emotion encoder in {folder} cannot be read: {str(error)[:200]}") from error
    if config.classes != MIKELS_EIGHT:
        raise EditError(f"{folder / CONFIG_FILE} orders its classes as {config.classes}, not as {MIKELS_EIGHT}")
    return encoder.eval()


def embedding_loss(text: Tensor, emotion: Tensor) -> Tensor:
    """L_emb: the batch's mean of 1 - cos(vec T, vec M), over all rows of [B, tokens, width]; no gradient reaches T."""
    return (1 - nn.functional.cosine_similarity(text.detach().flatten(1), emotion.flatten(1), dim=1)).mean()
