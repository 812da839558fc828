"""Trains the demo's diffusion model from random weights on paired drawings, and measures it.

`python -m pipelines.demo.train_base` draws places from TRAINING_SEEDS up, so that every smaller seed is unseen by the
shipped base. Killed, it goes on from its checkpoints; `--steps` may be raised until the learning rate begins to fall.
"""

import argparse
import os
import shutil
import time
from pathlib import Path

import torch

from moodarchive.diffusion.text import TextTower
from moodarchive.models.torch_compat import import_torchvision_safely
from pipelines.demo.base_texts import train_moodify_hub, write_bundled_hub
from pipelines.demo.pairs.pictures import TRAINING_SEEDS, DrawnPictures
from train.diffusion.base import train_base
from train.diffusion.run import StepReport
from train.diffusion.settings import DiffusionSettings

MOODIFY_TOWERS = 2
TOLD_SECONDS = 15.0


def settings_for(options: argparse.Namespace) -> DiffusionSettings:
    """What the shipped base was trained with, but for what the options change."""
    settings = DiffusionSettings(
        output=str(options.work),
        start=str(options.start or ""),
        size=options.size,
        seed=options.seed,
        threads=options.threads,
    )
    autoencoder = settings.autoencoder.schedule.model_copy(
        update={"steps": options.autoencoder_steps, "decay_steps": max(1, options.autoencoder_steps // 2)}
    )
    denoiser = settings.denoiser.schedule.model_copy(
        update={"steps": options.steps, "decay_steps": min(options.decay_steps, options.steps)}
    )
    return settings.model_copy(
        update={
            "autoencoder": settings.autoencoder.model_copy(update={"schedule": autoencoder}),
            "denoiser": settings.denoiser.model_copy(update={"schedule": denoiser, "widths": tuple(options.widths)}),
        }
    )


def open_towers(work: Path, processes: int) -> dict[str, TextTower]:
    """The bundled CLIP's text tower and some MoodifyCLIPs' (made once, below ``work``), by name."""
    import_torchvision_safely()
    folders = {"bundled": work / "towers" / "bundled"}
    if not folders["bundled"].is_dir():
        write_bundled_hub(folders["bundled"])
    for seed in range(MOODIFY_TOWERS):
        name = f"moodify-{seed}"
        folders[name] = work / "towers" / name
        if not folders[name].is_dir():
            draft = folders[name].with_suffix(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            train_moodify_hub(draft, seed, processes)
            draft.rename(folders[name])
    device = torch.device("cpu")
    return {
        name: TextTower(model=folder, tokenizer=folder, device=device, dtype=torch.float32)
        for name, folder in folders.items()
    }


class Teller:
    """Prints a line now and then."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, report: StepReport) -> None:
        if time.monotonic() - self._last < TOLD_SECONDS and report.step != report.steps:
            return
        self._last = time.monotonic()
        print(
            f"{report.part}: step {report.step} of {report.steps}, loss {report.loss:.4f}, {report.seconds:.2f} s",
            flush=True,
        )


def main() -> None:
    """Draws, trains, writes the folder and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="folder to copy the base to")
    parser.add_argument("--work", type=Path, default=Path("runs/demo-base"), help="checkpoints, towers, latents")
    parser.add_argument("--start", type=Path, help="a base whose denoiser learns on, in place of random weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--places", type=int, default=1200, help="places drawn of each kind, in eight moods each")
    parser.add_argument("--autoencoder-steps", type=int, default=1600)
    parser.add_argument("--steps", type=int, default=4900, help="of the denoiser")
    parser.add_argument("--decay-steps", type=int, default=1000, help="its last ones, in which the rate falls")
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 96, 128], help="channels of the denoiser")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="that draw")
    options = parser.parse_args()
    began = time.process_time()
    options.work.mkdir(parents=True, exist_ok=True)
    towers = open_towers(options.work, options.processes)
    pictures = DrawnPictures(
        first_seed=TRAINING_SEEDS, places=options.places, size=options.size, processes=options.processes
    )
    folder = train_base(settings_for(options), pictures, towers, Teller())
    if options.out:
        shutil.copytree(folder, options.out, dirs_exist_ok=True)
    print(f"{time.process_time() - began:.0f} s of processor time in this process; {folder}")


if __name__ == "__main__":
    main()
