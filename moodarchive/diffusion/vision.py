"""BLIP-2's picture encoder and what its Q-Former starts from, read from a folder of transformers without the rest."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moodarchive.diffusion.parts import SHARDS_SUFFIX, TRANSFORMERS_WEIGHTS
from moodarchive.errors import EditError

MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""CLIP's, which BLIP-2's processor has."""


def read_json(file: Path) -> dict[str, Any]:
    """A configuration; EditError where there is none."""
    try:
        values = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise EditError(f"{file} cannot be read: {str(error)[:200]}; remedy: the whole folder of the model") from None
    if not isinstance(values, dict):
        raise EditError(f"{file} is no configuration; remedy: the whole folder of the model")
    return values


def read_weights(folder: Path, beginnings: Iterable[str]) -> dict[str, Tensor]:
    """The tensors of a transformers folder whose names begin so; of sharded weights no other file is opened."""
    from safetensors import SafetensorError, safe_open

    beginnings = tuple(beginnings)
    index = folder / f"{TRANSFORMERS_WEIGHTS}{SHARDS_SUFFIX}"
    names = [TRANSFORMERS_WEIGHTS]
    if index.is_file():
        listed = read_json(index).get("weight_map", {})
        names = sorted({Path(str(file)).name for name, file in listed.items() if name.startswith(beginnings)})
    tensors: dict[str, Tensor] = {}
    try:
        for name in names:
            with safe_open(folder / name, "pt") as file:
                tensors |= {key: file.get_tensor(key) for key in file.keys() if key.startswith(beginnings)}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise EditError(f"the weights in {folder} cannot be read: {str(error)[:200]}") from None
    return tensors


class PictureEncoder:
    """BLIP-2's ViT, which never learns."""

    def __init__(self, model: Any) -> None:
        self.model = model.eval().requires_grad_(False)
        self.width = int(model.config.hidden_size)

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        """[B, patches + 1, width] of uint8 [B, 3, H, W], squashed to the encoder's square."""
        side = int(self.model.config.image_size)
        parameter = next(self.model.parameters())
        unit = pixels.to(parameter.device).float() / 255
        if unit.shape[-2:] != (side, side):
            unit = torch.nn.functional.interpolate(unit, (side, side), mode="bicubic", antialias=True).clamp(0, 1)
        mean, deviation = (torch.tensor(of, device=unit.device).view(1, 3, 1, 1) for of in (MEAN, DEVIATION))
        seen: Tensor = self.model(pixel_values=((unit - mean) / deviation).to(parameter.dtype)).last_hidden_state
        return seen

    def save(self, folder: Path) -> None:
        """A folder that ``open_picture_encoder`` reads."""
        self.model.save_pretrained(folder, safe_serialization=True)


def open_picture_encoder(folder: Path, device: torch.device, dtype: torch.dtype) -> PictureEncoder:
    """Of a BLIP-2 of any kind, or of the ViT alone; EditError where the folder has none."""
    from transformers import Blip2VisionConfig, Blip2VisionModel

    config = read_json(folder / "config.json")
    whole = "vision_config" in config
    of_vision = config["vision_config"] if whole else config
    if not whole and config.get("model_type") != "blip_2_vision_model":
        raise EditError(
            f"{folder} holds a {config.get('model_type', 'model of no kind')!r}; remedy: a BLIP-2 of transformers, "
            "such as Salesforce/blip2-opt-2.7b"
        )
    model: Any = Blip2VisionModel(Blip2VisionConfig(**of_vision))
    weights = read_weights(folder, ("vision_model.",) if whole else ("",))
    weights = {name.removeprefix("vision_model."): tensor for name, tensor in weights.items()}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise EditError(f"the picture encoder in {folder} cannot be read: {str(error)[:200]}") from None
    return PictureEncoder(model.to(device, dtype))
