"""A small archive with one subject a picture, a tiny CLIP of random weights, and settings that train it in seconds."""

import gc
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from moodarchive.models.long_text import stretch
from moodarchive.models.torch_compat import import_torchvision_safely
from train.data.batch import ALL_TEXTS, Batch, Reads
from train.data.texts import pack_texts
from train.model.moodify_clip import MoodifyClip
from train.settings import LossSettings, OptimiserSettings, TrainSettings
from train.step.stepper import Stepper

CONFIG: dict[str, Any] = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
PREPROCESS = {"size": [32, 32], "mode": "RGB", "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}


def tiny_clip(folder: Path, seed: int = 0) -> str:
    """The name by which open_clip loads a ViT CLIP of random weights, made here."""
    import_torchvision_safely()
    gc.disable()  # imported libraries parse their own source; in Python 3.11 that fails if it runs meanwhile
    try:
        import open_clip
    finally:
        gc.enable()
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


def small_model(reads: Reads = ALL_TEXTS) -> MoodifyClip:
    """A stretched CLIP of random weights, the same each time."""
    import_torchvision_safely()
    import open_clip

    torch.manual_seed(0)
    clip = open_clip.CLIP(**CONFIG)
    stretch(clip)
    return MoodifyClip(clip, PREPROCESS, reads).train()


def small_stepper(model: torch.nn.Module, losses: LossSettings | None = None) -> Stepper:
    """Of nine steps."""
    return Stepper(model, OptimiserSettings(), losses or LossSettings(), steps=9)


def random_batch(seed: int, rows: int = 4) -> Batch:
    """Noise under texts whose lengths differ from seed to seed; the first sample has no third stimulus."""
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, 60, (5 * rows,), generator=random).tolist()
    texts = [[49406, *torch.randint(1, 49000, (length,), generator=random).tolist(), 49407] for length in lengths]
    texts[2 * rows + 2] = [0]
    present = torch.ones(rows, 3, dtype=torch.bool)
    present[0, 2] = False
    pixels = torch.randint(0, 256, (rows, 32, 32, 3), generator=random, dtype=torch.uint8)
    return Batch(pixels, pack_texts(texts), present)


def log_of(output: Path) -> list[dict[str, Any]]:
    """The steps that a run recorded."""
    return [json.loads(line) for line in (output / "checkpoints" / "training.jsonl").read_text().splitlines()]


def digests(folder: Path) -> dict[str, str]:
    """Path below the folder → sha256, of every file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class Killed(Exception):
    """In place of a signal."""


def train_killed(train: Callable[[Callable[[Any], None]], object]) -> list[int]:
    """Kills a training at its third step and begins it again; returns the steps of the second run."""

    def kill(report: Any) -> None:
        if report.step == 3:
            raise Killed

    with pytest.raises(Killed):
        train(kill)
    steps: list[int] = []
    train(lambda report: steps.append(report.step))
    return steps
