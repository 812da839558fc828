"""A small archive with one subject a picture, a tiny CLIP of random weights, and settings that train it in seconds."""

import hashlib
import json
from pathlib import Path
from typing import Any

from moodarchive.torch_compat import import_torchvision_safely
from train.settings import TrainSettings

CONFIG: dict[str, Any] = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
PREPROCESS = {"size": [32, 32], "mode": "RGB", "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}


def tiny_clip(folder: Path, seed: int = 0) -> str:
    """The name by which open_clip loads a ViT CLIP of random weights, made here."""
    import_torchvision_safely()
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = open_clip.CLIP(**CONFIG)
    save_file(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    told = {"model_cfg": CONFIG, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(told))
    return f"local-dir:{folder}"


def small_settings(model: str, output: Path, **changes: dict[str, Any]) -> TrainSettings:
    """Batches of 12 for 2 epochs; ``changes`` maps sections to what is other."""
    sections: dict[str, dict[str, Any]] = {
        "data": {"batch": 12, "epochs": 2, "streams": 6, "buffer": 4, "workers": 0},
        "model": {"name": model, "pretrained": ""},
        "optimiser": {"learning_rate": 1e-3, "warmup_steps": 2},
        "loop": {"checkpoint_steps": 2, "threads": 1},
    }
    for section, values in changes.items():
        sections.setdefault(section, {}).update(values)
    return TrainSettings.model_validate({"output": str(output), **sections})


def log_of(output: Path) -> list[dict[str, Any]]:
    """The steps that a run recorded."""
    return [json.loads(line) for line in (output / "checkpoints" / "training.jsonl").read_text().splitlines()]


def digests(folder: Path) -> dict[str, str]:
    """File → sha256."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
