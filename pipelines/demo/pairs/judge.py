"""The judge of edits: a classifier of paired drawings that takes no part in editing.

`python -m pipelines.demo.pairs.judge` trains and measures the shipped one, on places that nothing else is trained on.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, cross_entropy, interpolate

from moodarchive.diffusion.emotion import class_of
from moodarchive.diffusion.predictor import Architecture, EmotionPredictor, make_predictor, open_predictor
from pipelines.demo.bundled import JUDGE
from pipelines.demo.pairs.drawing import KINDS, PAIRED_EMOTIONS, draw_paired
from pipelines.demo.pairs.generators import Generators
from pipelines.demo.pairs.moods import Mood

JUDGE_SEEDS = 2_000_000_000
"""Its places have seeds from here up: neither the base nor any measurement draws them."""
ARCHITECTURE = Architecture(hidden_sizes=(32, 64, 96, 128), depths=(1, 1, 1, 1), embedding_size=32, side=64)


def open_judge() -> EmotionPredictor:
    """The shipped one."""
    return open_predictor(JUDGE)


def name_emotions(judge: EmotionPredictor, images: Sequence[Image.Image]) -> list[str]:
    """Which of the drawn emotions each picture shows most."""
    classes = [class_of(emotion) for emotion in PAIRED_EMOTIONS]
    chosen = judge.probabilities(to_unit(images))[:, classes].argmax(dim=1)
    return [PAIRED_EMOTIONS[index] for index in chosen.tolist()]


def to_unit(images: Sequence[Image.Image]) -> Tensor:
    """float32 [N, 3, H, W] in [0, 1] of pictures of one size."""
    return torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2).float() / 255


def train_judge(
    *, places: int, epochs: int, seed: int, first_seed: int = JUDGE_SEEDS, batch: int = 32
) -> EmotionPredictor:
    """A judge that has seen ``places`` places of each kind in every mood, sharp and blurred, clean and noised.

    Equal arguments give equal weights on the same machine.
    """
    pixels, classes = draw_labelled(first_seed, places, ARCHITECTURE.side)
    judge = make_predictor(ARCHITECTURE, seed)
    network = judge.network.train()
    steps = epochs * (len(pixels) // batch)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps, pct_start=0.1)
    draw = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        order = torch.randperm(len(pixels), generator=draw)
        for rows in order[: len(pixels) // batch * batch].view(-1, batch):
            loss = cross_entropy(network(pixel_values=_disturb(pixels[rows].float() / 255, draw)).logits, classes[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    network.eval()
    return judge


def draw_labelled(first_seed: int, places: int, size: int) -> tuple[Tensor, Tensor]:
    """uint8 [N, 3, size, size] and classes [N] of every kind in every mood."""
    pictures, classes = [], []
    for seed in range(first_seed, first_seed + places):
        for kind in KINDS:
            rng = Generators(f"judge/{kind}/{seed}").of("moods")
            for emotion in PAIRED_EMOTIONS:
                scene = draw_paired(kind, seed, Mood(emotion, rng.randrange(1 << 30)), size)
                pictures.append(np.asarray(scene.image))
                classes.append(class_of(emotion))
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous(), torch.tensor(classes)


def _disturb(pixels: Tensor, draw: torch.Generator) -> Tensor:
    """Half of the batches blurred, half noised: edits are neither as sharp nor as clean as drawings."""
    if torch.rand((), generator=draw) < 0.5:
        pixels = interpolate(avg_pool2d(pixels, 2), scale_factor=2.0, mode="bilinear")
    if torch.rand((), generator=draw) < 0.5:
        strength = 0.1 * torch.rand((), generator=draw)
        pixels = (pixels + strength * torch.randn(pixels.shape, generator=draw)).clamp(0, 1)
    return pixels


def main() -> None:
    """Trains, writes the folder, and measures it on unseen places."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=JUDGE)
    parser.add_argument("--places", type=int, default=300, help="of each of three kinds, in six moods each")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    began = time.process_time()
    judge = train_judge(places=options.places, epochs=options.epochs, seed=options.seed)
    judge.save(options.out)
    for file in options.out.iterdir():
        file.chmod(0o644)
    pixels, classes = draw_labelled(5_000, 20, ARCHITECTURE.side)
    named = judge.probabilities(pixels.float() / 255).argmax(dim=1)
    print(f"{time.process_time() - began:.0f} s of one core; {(named == classes).float().mean():.4f} of {len(classes)}")


if __name__ == "__main__":
    main()
