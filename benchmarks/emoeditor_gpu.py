"""EmoEditor at real sizes: samples a second and peak memory of training, seconds of a round of the loop.

Weights are random and pictures are noise: the figures tell what a step and a round cost, and nothing about how edits
look. On a GPU the UNet is Stable Diffusion 1.5's with eight channels (860M) and M the paper's (46M), bf16 products over
float32 weights; on a CPU all is small. ``python benchmarks/emoeditor_gpu.py [--batch 32] [--size 256] [--steps 20]``
prints one JSON line a measurement.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from PIL import Image

from editor.edit import Edit
from editor.job import settings_with
from editor.loading import load_method
from moodarchive.diffusion.emotion import EmotionEncoder, EncoderConfig, embedding_loss
from moodarchive.diffusion.parts import diffusion_library
from moodarchive.diffusion.predictor import Architecture, make_predictor
from train.diffusion.denoiser import SCHEDULER
from train.diffusion.learner import Learner
from train.diffusion.settings import ScheduleSettings
from train.emoeditor.model import EmoEditorModel

REAL: dict[str, Any] = {
    "widths": (320, 640, 1280, 1280), "layers": 2, "heads": 8, "groups": 32, "vae": (128, 256, 512, 512),
    "hidden": (256, 512, 768), "width": 768, "predictor": Architecture(),
}  # fmt: skip
SMALL: dict[str, Any] = {
    "widths": (32, 64, 64), "layers": 1, "heads": 4, "groups": 8, "vae": (16, 16, 32), "hidden": (16, 32), "width": 64,
    "predictor": Architecture(hidden_sizes=(8, 16), depths=(1, 1), embedding_size=8, side=32),
}  # fmt: skip


def make_unet(sizes: dict[str, Any]) -> Any:
    """Eight channels in, four out."""
    coarser = len(sizes["widths"]) - 1
    return diffusion_library().UNet2DConditionModel(
        in_channels=8,
        out_channels=4,
        block_out_channels=sizes["widths"],
        layers_per_block=sizes["layers"],
        down_block_types=("CrossAttnDownBlock2D",) * coarser + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * coarser,
        cross_attention_dim=sizes["width"],
        attention_head_dim=sizes["heads"],
        norm_num_groups=sizes["groups"],
    )


def measure_training(options: argparse.Namespace, sizes: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Steps over latents and states of noise, activation checkpoints on and off as asked."""
    torch.manual_seed(0)
    unet, encoder = make_unet(sizes), EmotionEncoder(EncoderConfig(width=sizes["width"], hidden=sizes["hidden"]))
    if options.activation_checkpoints:
        unet.enable_gradient_checkpointing()
    model = EmoEditorModel(unet, encoder).to(device).train()
    learner = Learner(model, ScheduleSettings(steps=10_000, batch=options.batch, learning_rate=1e-5))
    side = options.size // 2 ** (len(sizes["vae"]) - 1)
    latents, images = (torch.randn(options.batch, 4, side, side, device=device) for _ in range(2))
    texts = torch.randn(options.batch, 77, sizes["width"], device=device)
    emotions = torch.randn(options.batch, 8, device=device)
    seconds = []
    for step in range(options.steps + 2):
        began = time.perf_counter()
        times = torch.randint(1000, (options.batch,), device=device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            states = model.encoder(emotions)
            predicted = model(latents, images, times, states)
        loss = (predicted.float() - latents).square().mean() + 0.5 * embedding_loss(texts, states.float())
        learner.learn(loss, step)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    median = statistics.median(seconds[2:])
    peak = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None
    return {
        "what": "training", "batch": options.batch, "size": options.size,
        "weights": sum(parameter.numel() for parameter in model.parameters()),
        "activation_checkpoints": options.activation_checkpoints, "seconds_per_step": round(median, 4),
        "samples_per_second": round(options.batch / median, 2), "peak_gib": peak and round(peak, 2),
    }  # fmt: skip


def measure_round(options: argparse.Namespace, sizes: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """A round of the loop by the method itself: 30 passes of the UNet, the decoder, the predictor, the likeness."""
    torch.manual_seed(0)
    levels = len(sizes["vae"])
    make_unet(sizes).save_pretrained(folder / "unet")
    diffusion_library().AutoencoderKL(
        block_out_channels=sizes["vae"],
        layers_per_block=sizes["layers"],
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        norm_num_groups=sizes["groups"] if sizes is REAL else 8,
    ).save_pretrained(folder / "vae")
    (folder / "scheduler").mkdir()
    scheduler = {"_class_name": "DDIMScheduler", **SCHEDULER}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    make_predictor(sizes["predictor"]).save(folder / "predictor")
    EmotionEncoder(EncoderConfig(width=sizes["width"], hidden=sizes["hidden"])).save(folder)
    lines = []
    for rows in (1, 4):
        rounds = options.rounds
        # a band that nothing lies in: every edit takes all rounds
        settings = settings_with(
            "emoeditor", size=options.size, rounds=rounds, batch=rows, ssim_low=0.9998, ssim_high=0.9999, confidence=1
        )
        method = load_method("emoeditor", str(folder), None, settings)
        noise = np.random.default_rng(0).integers(0, 256, (options.size, options.size, 3), np.uint8)
        edits = [Edit(image=Image.fromarray(noise), prompt="", emotion="awe", seed=seed) for seed in range(rows)]
        taken = []
        for _ in range(2):  # the first one warms up and records
            began = time.perf_counter()
            method.edit(edits, lambda done, total: None, lambda: False)
            taken.append(time.perf_counter() - began)
        lines.append(
            {"what": "loop", "rows": rows, "size": options.size, "seconds_per_round": round(taken[-1] / rounds, 3)}
        )
    return lines


def main() -> None:
    """Prints the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=0, help="32 on a GPU, 4 on a CPU")
    parser.add_argument("--size", type=int, default=0, help="256 on a GPU, 64 on a CPU")
    parser.add_argument("--steps", type=int, default=0, help="20 on a GPU, 3 on a CPU")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--activation-checkpoints", action="store_true")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    real = device.type == "cuda"
    options.batch = options.batch or (32 if real else 4)
    options.size = options.size or (256 if real else 64)
    options.steps = options.steps or (20 if real else 3)
    sizes = REAL if real else SMALL
    name = torch.cuda.get_device_name() if real else "CPU, small models"
    with tempfile.TemporaryDirectory() as folder:
        lines = [measure_training(options, sizes, device)]
        if real:
            torch.cuda.empty_cache()
        lines += measure_round(options, sizes, Path(folder))
    for line in lines:
        print(json.dumps({"device": name, **line}))


if __name__ == "__main__":
    main()
