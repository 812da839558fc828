"""The trained towers as Hugging Face's CLIPModel and CLIPTextModel read them, with tokenizer and image processor."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from moodarchive.models.clip_vocabulary import merges, symbols
from moodarchive.storage.store import Store
from train.model.towers import Towers

_START, _END = "<|startoftext|>", "<|endoftext|>"
_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def has_hub_form(towers: Towers) -> bool:
    """True for ViT towers; the hub has no CLIPModel with a ResNet."""
    return hasattr(towers.clip.visual, "conv1") and hasattr(towers.clip.visual, "ln_pre")


def write_hub_folder(store: Store, folder: str, towers: Towers) -> None:
    """Configuration, tokenizer and processor, then the weights; a CLIPTextModel loads from the same folder."""
    from safetensors.torch import save as packed

    for name, content in {
        "config.json": _config(towers),
        "preprocessor_config.json": _processor(towers.preprocess_config),
        "tokenizer_config.json": _tokenizer(towers.context),
        "vocab.json": {symbol: number for number, symbol in enumerate([*symbols(), _START, _END])},
    }.items():
        store.write_bytes(f"{folder}/{name}", (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    store.write_bytes(
        f"{folder}/merges.txt", ("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges()) + "\n").encode()
    )
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in _rename_weights(towers.clip)}
    store.write_bytes(f"{folder}/model.safetensors", packed(weights, {"format": "pt"}))


def _rename_weights(clip: Any) -> Iterator[tuple[str, Tensor]]:
    visual = clip.visual
    yield "logit_scale", clip.logit_scale
    yield "visual_projection.weight", visual.proj.T
    projection = clip.text_projection
    yield "text_projection.weight", projection.weight if isinstance(projection, torch.nn.Linear) else projection.T
    yield "vision_model.embeddings.class_embedding", visual.class_embedding
    yield "vision_model.embeddings.patch_embedding.weight", visual.conv1.weight
    yield "vision_model.embeddings.position_embedding.weight", visual.positional_embedding
    yield "text_model.embeddings.token_embedding.weight", clip.token_embedding.weight
    yield "text_model.embeddings.position_embedding.weight", clip.positional_embedding
    yield from _module("vision_model.pre_layrnorm", visual.ln_pre)
    yield from _module("vision_model.post_layernorm", visual.ln_post)
    yield from _module("text_model.final_layer_norm", clip.ln_final)
    for tower, transformer in (("vision_model", visual.transformer), ("text_model", clip.transformer)):
        for number, block in enumerate(transformer.resblocks):
            yield from _block(f"{tower}.encoder.layers.{number}", block)


def _block(name: str, block: Any) -> Iterator[tuple[str, Tensor]]:
    for ours, theirs in _BLOCK.items():
        yield from _module(f"{name}.{theirs}", block.get_submodule(ours))
    for kind in ("weight", "bias"):
        for part, tensor in zip("qkv", getattr(block.attn, f"in_proj_{kind}").chunk(3), strict=True):
            yield f"{name}.self_attn.{part}_proj.{kind}", tensor


def _module(name: str, module: Any) -> Iterator[tuple[str, Tensor]]:
    for kind in ("weight", "bias"):
        yield f"{name}.{kind}", getattr(module, kind)


def _config(towers: Towers) -> dict[str, Any]:
    vision, text = towers.config["vision_cfg"], towers.config["text_cfg"]
    activation = "quick_gelu" if towers.config.get("quick_gelu") else "gelu"
    visual, width = towers.clip.visual, vision["width"]
    shared = {"projection_dim": towers.config["embed_dim"], "hidden_act": activation, "layer_norm_eps": 1e-5}
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": towers.config["embed_dim"],
        "vision_config": {
            **shared,
            "model_type": "clip_vision_model",
            "hidden_size": width,
            "intermediate_size": visual.transformer.resblocks[0].mlp.c_fc.out_features,
            "num_hidden_layers": vision["layers"],
            "num_attention_heads": visual.transformer.resblocks[0].attn.num_heads,
            "image_size": _side(vision["image_size"]),
            "patch_size": vision["patch_size"],
        },
        "text_config": {
            **shared,
            "model_type": "clip_text_model",
            "hidden_size": text["width"],
            "intermediate_size": towers.clip.transformer.resblocks[0].mlp.c_fc.out_features,
            "num_hidden_layers": text["layers"],
            "num_attention_heads": text["heads"],
            "max_position_embeddings": towers.context,
            "vocab_size": text["vocab_size"],
            "bos_token_id": 49406,
            "eos_token_id": 49407,
            "pad_token_id": 49407,
        },
    }


def _processor(config: Mapping[str, Any]) -> dict[str, Any]:
    side = _side(config["size"])
    resample = {"nearest": 0, "bilinear": 2, "bicubic": 3}[config["interpolation"]]
    squash = config["resize_mode"] == "squash"
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": side, "width": side} if squash else {"shortest_edge": side},
        "resample": resample,
        "do_center_crop": not squash,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "do_normalize": True,
        "image_mean": list(config["mean"]),
        "image_std": list(config["std"]),
    }


def _tokenizer(context: int) -> dict[str, Any]:
    return {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": context,
        "bos_token": _START,
        "eos_token": _END,
        "pad_token": _END,
        "unk_token": _END,
    }


def _side(size: Any) -> int:
    return int(size if isinstance(size, int) else size[0])
