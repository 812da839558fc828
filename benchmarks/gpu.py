"""Runs the tests marked ``gpu``, then steps of ViT-B/16 and ViT-L/14 in bf16, on a machine with torch and open_clip.

Neither network, ray, duckdb nor webdataset is needed. Weights are random, sizes real; captions of 101 tokens in the
median. One JSON line a measurement: samples a second and the share of the GPU's peak (MFU), blocks compiled and not,
beside a step over texts padded to 248 as open_clip pads them (its towers and loss alone, bf16, fused AdamW).
``python benchmarks/gpu.py [--batch 256] [--no-tests]``
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOUSE = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOUSE)]

from moodarchive.models.torch_compat import import_torchvision_safely  # noqa: E402

import_torchvision_safely()
import numpy as np  # noqa: E402
import open_clip  # noqa: E402
import torch  # noqa: E402

from moodarchive.models.long_text import stretch  # noqa: E402
from train.data.batch import Batch  # noqa: E402
from train.data.feed import Feeder  # noqa: E402
from train.data.samples import Sample, collate  # noqa: E402
from train.data.texts import pack_texts  # noqa: E402
from train.devices import flops  # noqa: E402
from train.model.compiling import choose_compiling, compile_blocks, compile_potential  # noqa: E402
from train.model.moodify_clip import MoodifyClip  # noqa: E402
from train.saving.checkpoint import copy_state  # noqa: E402
from train.settings import LossSettings, OptimiserSettings  # noqa: E402
from train.step.build import embeddings_read  # noqa: E402
from train.step.stepper import Stepper  # noqa: E402

CONTEXT = 248
PREPARED = {"mean": [0.5] * 3, "std": [0.5] * 3}
LOSSES = {"L_f alone": LossSettings(short=0, fine_grained=0, transport=0), "all four losses": LossSettings()}


def make_batch(n: int, losses: LossSettings, seed: int, device: torch.device) -> tuple[Batch, list[list[int]]]:
    """Noise under texts of a caption's lengths, and the full texts by themselves."""
    random = np.random.default_rng(seed)

    def draw(mean: float, spread: float, texts: int) -> list[list[int]]:
        lengths = np.clip(random.normal(mean, spread, texts).astype(int), 3, CONTEXT)
        return [[49406, *random.integers(1, 49406, length - 2).tolist(), 49407] for length in lengths]

    full = draw(101, 15, n)
    short = draw(45, 8, n) if losses.reads_short else []
    stimuli = draw(23, 4, 3 * n) if losses.reads_stimuli else []
    pixels = torch.from_numpy(random.integers(0, 256, (n, 224, 224, 3), dtype=np.uint8))
    batch = Batch(pixels, pack_texts([*full, *short, *stimuli]), torch.ones(n, 3, dtype=torch.bool))
    return batch.on(device), full


def seconds(step: Callable[[int], object], rounds: int) -> float:
    """The median of so many steps after two that are not counted; each waits for the GPU once, at its end."""
    taken = []
    for number in range(rounds + 2):
        began = time.perf_counter()
        step(number)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[2:])


def our_stepper(clip: Any, losses: LossSettings, device: torch.device, *, compiled: bool) -> Stepper:
    """With the embeddings that the losses read."""
    model = MoodifyClip(clip, PREPARED, embeddings_read(losses)).to(device).train()
    if compiled:
        compile_blocks(model)
    find_potential = compile_potential() if compiled else None
    return Stepper(model, OptimiserSettings(), losses, steps=1000, find_potential=find_potential)


def our_step(clip: Any, losses: LossSettings, batches: list[Batch], *, compiled: bool) -> Callable[[int], object]:
    """A step of ours, each over the next batch, whose texts have other lengths."""
    stepper = our_stepper(clip, losses, batches[0].pixels.device, compiled=compiled)
    return lambda number: stepper([batches[number % len(batches)]], number, bf16=True)


def padded_step(clip: Any, full: list[list[int]], batch: Batch) -> Callable[[int], object]:
    """open_clip's towers and loss over texts padded to the context."""
    device = batch.pixels.device
    tokens = torch.zeros(len(full), CONTEXT, dtype=torch.long)
    for row, text in enumerate(full):
        tokens[row, : len(text)] = torch.tensor(text)
    tokens, pixels = tokens.to(device), batch.pixels.movedim(-1, 1).float().div(255).sub(0.5).div(0.5)
    optimiser = torch.optim.AdamW(clip.parameters(), lr=1e-6, fused=True)
    loss = open_clip.ClipLoss(cache_labels=True)

    def step(_: int) -> None:
        optimiser.zero_grad()
        with torch.autocast(device.type, torch.bfloat16):
            found = clip(pixels, tokens)
            total = loss(found["image_features"], found["text_features"], found["logit_scale"])
        total.backward()
        optimiser.step()

    return step


def make_clip(config: dict[str, Any], device: torch.device) -> Any:
    """Random weights, stretched to 248 positions."""
    torch.manual_seed(0)
    clip = open_clip.CLIP(**config, output_dict=True)
    stretch(clip)
    return clip.to(device).train()


def measure(name: str, config: dict[str, Any], n: int, rounds: int, device: torch.device) -> None:
    """One line a way of stepping."""
    peak = flops.peak(device, bf16=True)
    batch, full = make_batch(n, LOSSES["L_f alone"], 0, device)
    rows = [("open_clip's towers, padded", None, seconds(padded_step(make_clip(config, device), full, batch), rounds))]
    ways = [False, True] if choose_compiling("auto", device) else [False]
    for title, losses in LOSSES.items():
        batches = [make_batch(n, losses, seed, device)[0] for seed in range(4)]
        work = flops.step_flops(config, n, batches[0].texts.runs, fine=losses.reads_stimuli)
        for compiled in ways:
            step = our_step(make_clip(config, device), losses, batches, compiled=compiled)
            rows.append((f"{title}{', compiled' if compiled else ''}", work, seconds(step, rounds)))
    for title, work, taken in rows:
        line: dict[str, Any] = {"measured": f"{name}, batch {n}: {title}", "samples_per_s": round(n / taken, 1)}
        if work and peak:
            line["mfu"] = round(work / taken / peak, 3)
        print(json.dumps(line), flush=True)


def make_samples(n: int) -> list[Sample]:
    """As the reading processes hand them over: pictures of 224 pixels and a caption's texts."""
    random = np.random.default_rng(0)

    def draw(length: int) -> list[int]:
        return [49406, *random.integers(1, 49406, length - 2).tolist(), 49407]

    return [
        Sample(
            str(row),
            draw(101),
            draw(45),
            (draw(23), draw(23)),
            [draw(23) for _ in range(3)],
            (),
            torch.from_numpy(random.integers(0, 256, (224, 224, 3), dtype=np.uint8)),
        )
        for row in range(n)
    ]


def measure_feeding(name: str, config: dict[str, Any], n: int, rounds: int, device: torch.device) -> None:
    """Steps over batches that a feeder collates and copies, beside the same steps over one that lies on the device."""
    samples, losses = make_samples(n), LossSettings()
    lying = collate(samples).on(device)
    compiled = choose_compiling("auto", device)
    step = our_step(make_clip(config, device), losses, [lying], compiled=compiled)
    alone = seconds(step, rounds)
    model = our_stepper(make_clip(config, device), losses, device, compiled=compiled)
    waited, began = 0.0, time.perf_counter()
    with Feeder(iter([samples] * (rounds + 2)), lambda batch: [collate(batch)], device, ahead=True) as feeder:
        for number, batch in enumerate(feeder):
            if number == 2:
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                waited, began = 0.0, time.perf_counter()
            waited += batch.waited
            model(batch.slices, number, bf16=True)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    taken = (time.perf_counter() - began) / rounds
    line = {"measured": f"{name}, batch {n}: fed", "samples_per_s": round(n / taken, 1),
            "lying_samples_per_s": round(n / alone, 1), "waiting": round(waited / rounds / taken, 4)}  # fmt: skip
    print(json.dumps(line), flush=True)
    began = time.perf_counter()
    state = copy_state(model)
    asked = time.perf_counter() - began
    if state.copied is not None:
        state.copied.synchronize()
    copied = time.perf_counter() - began
    line = {"measured": f"{name}: a checkpoint's copy", "asked_s": round(asked, 3), "copied_s": round(copied, 3)}
    print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--layers", type=int, default=0, help="a tower, to try the script on a CPU; 0: the model's own")
    parser.add_argument("--no-tests", action="store_true")
    options = parser.parse_args()
    if not options.no_tests:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            "gpu",
            "-p",
            "no:cacheprovider",
            "tests/train/test_gpu.py",
            "tests/moodarchive/models/test_clip.py",
            "tests/editor/methods/test_replay.py",
        ]
        print(json.dumps({"tests": subprocess.run(command, check=False, cwd=HOUSE).returncode}), flush=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("ViT-B-16-quickgelu", "ViT-L-14-quickgelu"):
        config: dict[str, Any] = open_clip.get_model_config(name)
        if options.layers:
            config["vision_cfg"]["layers"] = config["text_cfg"]["layers"] = options.layers
        measure(name, config, options.batch, options.rounds, device)
        measure_feeding(name, config, options.batch, options.rounds, device)
    for script in ("score.py", "edit.py"):  # what they need beyond the above: pyarrow, diffusers, transformers
        run = [sys.executable, f"benchmarks/{script}", "--rounds", "3"]
        print(json.dumps({script: subprocess.run(run, check=False, cwd=HOUSE).returncode}), flush=True)


if __name__ == "__main__":
    main()
