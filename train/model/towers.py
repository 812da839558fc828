"""Opens the starting CLIP of open_clip, with what prepares pictures for it, and stretches its text tower."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moodarchive.errors import ConfigError
from moodarchive.models.clip import load_with_open_clip
from moodarchive.models.long_text import PLAIN_CONTEXT, stretch
from train.settings import ModelSettings

_FOLDER = "local-dir:"
_POSITIONS = "positional_embedding"
_LAST_TOKEN = ("argmax", "eos", "last")
_OTHER_BLOCKS = (
    "qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc", "embed_cls",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Towers:
    """A CLIP to be trained; ``config`` and ``preprocess_config`` are what an exported folder says of it."""

    clip: Any
    context: int
    config: Mapping[str, Any]
    preprocess_config: Mapping[str, Any]


def open_towers(settings: ModelSettings) -> Towers:
    """ConfigError when the model cannot be had, or its towers are of another kind: then nothing is downloaded."""
    rows = _positions_in_file(settings.pretrained)

    def load(open_clip: Any) -> tuple[Any, dict[str, Any], Mapping[str, Any]]:
        config = _read_config(open_clip, settings.name)
        require_supported(settings.name, config)
        clip, _, _ = open_clip.create_model_and_transforms(
            settings.name, pretrained=settings.pretrained or None, precision="fp32", force_context_length=rows
        )
        return clip, config, open_clip.get_model_preprocess_cfg(clip)

    clip, config, preprocess_config = load_with_open_clip("model.name =", settings.name, settings.pretrained, load)
    if settings.long_text and clip.context_length == PLAIN_CONTEXT:
        stretch(clip)
    config["text_cfg"]["context_length"] = clip.context_length
    return Towers(
        clip=clip,
        context=clip.context_length,
        config=config,
        preprocess_config=preprocess_config,
    )


def require_supported(name: str, config: Mapping[str, Any]) -> None:
    """ConfigError unless both towers are open_clip's own: a ViT or ResNet, and a causal text tower in one piece."""
    vision, text = config.get("vision_cfg", {}), config.get("text_cfg", {})
    reasons = []
    if config.get("custom_text") or config.get("multimodal_cfg") or text.get("hf_model_name"):
        reasons.append("keeps its text tower apart")
    if vision.get("timm_model_name"):
        reasons.append(f"has a vision tower of timm ({vision['timm_model_name']})")
    if vision.get("attentional_pool") or vision.get("pool_type", "tok") != "tok":
        reasons.append("pools its patches in another way")
    if text.get("hf_tokenizer_name"):
        reasons.append(f"has a tokenizer of transformers ({text['hf_tokenizer_name']})")
    if text.get("no_causal_mask"):
        reasons.append("reads texts in both directions")
    if text.get("pool_type", "argmax") not in _LAST_TOKEN:
        reasons.append(f"embeds texts by {text['pool_type']}, not by their last token")
    if any(text.get(option) for option in _OTHER_BLOCKS):
        reasons.append("has text blocks of its own")
    if reasons:
        raise ConfigError(
            f"model.name = {name!r} {' and '.join(reasons)}, which cannot be trained here; remedy: name one of "
            "open_clip's CLIP architectures (ViT-B-16-quickgelu, ViT-L-14-quickgelu, RN50-quickgelu, …)"
        )


def _positions_in_file(pretrained: str) -> int | None:
    """Rows of the positional table in a file of weights, which open_clip would squeeze to the architecture's length."""
    path = Path(pretrained)
    if not pretrained or not path.is_file():
        return None
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as weights:
                names = [name for name in weights.keys() if name.removeprefix("module.") == _POSITIONS]  # noqa: SIM118
                return int(weights.get_slice(names[0]).get_shape()[0]) if names else None
        except SafetensorError as error:
            message = f"model.pretrained = {pretrained!r} cannot be read: {error}; remedy: a sound file"
            raise ConfigError(message) from None
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # noqa: BLE001  older formats, which open_clip reads in its own way, are of 77 positions
        return None
    content = content.get("state_dict", content) if isinstance(content, dict) else {}
    tables = [value for name, value in content.items() if str(name).removeprefix("module.") == _POSITIONS]
    return len(tables[0]) if tables else None


def _read_config(open_clip: Any, name: str) -> dict[str, Any]:
    if name.startswith(_FOLDER):
        folder_config = json.loads(Path(name.removeprefix(_FOLDER), "open_clip_config.json").read_text("utf-8"))
        return dict(folder_config["model_cfg"])
    # a model of the hub tells its architecture only once it has been downloaded
    return dict(open_clip.get_model_config(name) or {})
