"""The demo's text towers in the form that a diffusion model reads: the bundled CLIP's, and those of MoodifyCLIPs."""

import shutil
import tempfile
from pathlib import Path

from moodarchive.storage.store import Store
from pipelines.demo.bundled import CLIP
from pipelines.demo.drawn_samples import CELLS, Drawing, draw_samples
from pipelines.demo.learning import training_settings
from pipelines.demo.made_archive import seal_made
from pipelines.demo.train_checkpoint import TRAINING_SEEDS, write_caption
from train.loop import train
from train.model.towers import open_towers
from train.saving.hub_format import write_hub_folder
from train.settings import ModelSettings

PER_CELL = 14
"""Drawings of each cell, which make about as many as the demo's archive has."""


def write_bundled_hub(folder: Path, *, long: bool = False) -> None:
    """The bundled CLIP as transformers reads it; ``long`` stretches its texts from 77 to 248 tokens."""
    towers = open_towers(ModelSettings(name=CLIP, pretrained="", long_text=long))
    write_hub_folder(Store(str(folder.parent)), folder.name, towers)


def train_moodify_hub(folder: Path, seed: int, processes: int = 1) -> None:
    """A MoodifyCLIP trained from the bundled CLIP as the demo trains one, on other drawings; transformers reads it.

    A base that has learned from several of them also understands the one that a demo trains.
    """
    drawing = Drawing(
        split="train", first_seed=TRAINING_SEEDS + 10_000_000 * (1 + seed), per_cell=PER_CELL, size=(160, 120)
    )
    with tempfile.TemporaryDirectory(prefix="moodarchive-moodify-") as name:
        store = Store(str(Path(name) / "archive"))
        seal_made(store, draw_samples(drawing, write_caption, processes))
        trained = train(training_settings(PER_CELL * len(CELLS)), store.root, lambda _: None)
        shutil.copytree(Path(trained.root) / "model" / "hub", folder)
