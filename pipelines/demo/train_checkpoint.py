"""Trains the demo's small CLIP from random weights with the project's own training loop, and measures it.

`python -m pipelines.demo.train_checkpoint` draws scenes, seals them as an archive and trains on it. Training draws only
seeds from TRAINING_SEEDS up, so every smaller seed is unseen by the shipped checkpoint.
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from filter.score import ScoreSettings, phrases_of_emotions
from moodarchive.models.clip import ClipEncoder, Embeddings
from moodarchive.models.torch_compat import import_torchvision_safely
from moodarchive.storage.store import Store
from pipelines.demo.bundled import CHECKPOINT
from pipelines.demo.drawn_samples import CELLS, Drawing, draw_samples
from pipelines.demo.made_archive import Caption, seal_made
from pipelines.demo.scenes.scene import DRAWN_CONTEXTS, DRAWN_EMOTIONS, Scene, cell_phrases, draw_scene
from train.loop import StepReport, train
from train.settings import TrainSettings

TRAINING_SEEDS = 1_000_000_000
SIDE = 96
TEMPLATES = (*ScoreSettings().templates, "a photo that evokes {emotion}", "a picture of {emotion}", "{emotion}")
MODEL_CONFIG: dict[str, Any] = {
    "embed_dim": 96,
    "vision_cfg": {"image_size": SIDE, "layers": 4, "width": 128, "patch_size": 16, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
PREPROCESS_CONFIG: dict[str, Any] = {
    "size": [SIDE, SIDE],
    "mode": "RGB",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "interpolation": "bicubic",
    "resize_mode": "squash",
    "fill_color": 0,
}


def write_caption(scene: Scene, rng: random.Random) -> Caption:
    """One of four forms, so that single phrases, names of emotions and whole descriptions are all seen alone."""
    phrase = rng.choice(cell_phrases(scene.emotion, scene.context))
    named = rng.choice(TEMPLATES).format(emotion=scene.emotion)
    summary, assessment = rng.choice(((phrase, ""), (named, ""), (scene.title, named), (scene.alt_text, phrase)))
    return Caption(summary=summary, stimuli=scene.stimuli, assessment=assessment)


def settings_for(start: str, output: Path, epochs: int, seed: int) -> TrainSettings:
    """All four losses, texts of 77 tokens."""
    return TrainSettings.model_validate(
        {
            "output": str(output),
            "data": {"batch": 48, "epochs": epochs, "streams": 8, "buffer": 512, "workers": 0},
            "model": {"name": start, "pretrained": "", "long_text": False},
            "optimiser": {"learning_rate": 1e-3, "warmup_steps": 60, "weight_decay": 0.05},
            "loop": {"seed": seed, "precision": "fp32", "threads": 1, "checkpoint_steps": 200},
        }
    )


def write_folder(folder: Path, weights: dict[str, Any]) -> None:
    """An open_clip folder of the small model with these weights, in half precision."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "open_clip_model.safetensors"
    save_file({name: tensor.half().contiguous() for name, tensor in weights.items()}, file)
    file.chmod(0o644)  # safetensors leaves it readable by its owner alone
    config = {"model_cfg": MODEL_CONFIG, "preprocess_cfg": PREPROCESS_CONFIG}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def random_weights(folder: Path, seed: int) -> str:
    """The name by which open_clip loads the model as it is before any training."""
    import_torchvision_safely()
    import open_clip
    import torch

    torch.manual_seed(seed)
    write_folder(folder, open_clip.CLIP(**MODEL_CONFIG).state_dict())
    return f"local-dir:{folder}"


def measure(encoder: ClipEncoder, first_seed: int, per_cell: int, seed: int) -> dict[str, float]:
    """Shares, on scenes of 640 x 480 from ``first_seed`` up, drawn here."""
    seeds = range(first_seed, first_seed + per_cell)
    images = np.concatenate([encoder.images([draw_scene(*cell, s).image for s in seeds]) for cell in CELLS])
    cells = np.repeat(np.arange(len(CELLS)), per_cell)
    centres = np.stack([encoder.texts(cell_phrases(*cell)).mean(axis=0) for cell in CELLS])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    phrases = phrases_of_emotions(ScoreSettings().templates)
    scores = np.stack([(images @ encoder.texts(phrases[name]).T).max(axis=1) for name in DRAWN_EMOTIONS], axis=1)
    contexts = len(DRAWN_CONTEXTS)
    three = cells < 3 * contexts
    return {
        "accuracy over 24 cells (chance 1/24)": float(((images @ centres.T).argmax(axis=1) == cells).mean()),
        "accuracy over 6 emotions (chance 1/6)": float((scores.argmax(axis=1) == cells // contexts).mean()),
        "mislabelled in the cut, 3 emotions": _share_caught(scores[three, :3], cells[three], seed),
        "mislabelled in the cut, 6 emotions": _share_caught(scores, cells, seed),
    }


def _share_caught(scores: Embeddings, cells: Any, seed: int) -> float:
    """Mislabel a tenth of the pictures with another emotion's cell, cut the lowest fifth within each labelled
    cell, and return the share of the mislabelled that was cut (chance 0.2). ``scores`` is [rows, emotions].
    """
    rng, contexts = random.Random(seed), len(DRAWN_CONTEXTS)
    labels, every = cells.copy(), sorted(set(cells.tolist()))
    wrong = rng.sample(range(len(cells)), len(cells) // 10)
    for row in wrong:
        labels[row] = rng.choice([cell for cell in every if cell // contexts != cells[row] // contexts])
    own = scores[np.arange(len(cells)), labels // contexts]
    cut: set[int] = set()
    for cell in every:
        members = np.flatnonzero(labels == cell)
        cut.update(members[np.argsort(own[members])][: len(members) // 5].tolist())
    return len(cut.intersection(wrong)) / len(wrong)


def _print_step(report: StepReport) -> None:
    if report.step % 50 == 0:
        terms = "  ".join(f"{name} {value:.3f}" for name, value in report.losses.items())
        print(f"step {report.step} of {report.steps}: {terms}", flush=True)


def main() -> None:
    """Draws, trains, writes the folder and prints the figures."""
    from safetensors.torch import load_file

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=CHECKPOINT, help="folder to write (default: the shipped one)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--per-cell", type=int, default=300, help="training scenes drawn for each of the 24 cells")
    options = parser.parse_args()
    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="moodarchive-checkpoint-") as name:
        folder = Path(name)
        drawing = Drawing(split="train", first_seed=TRAINING_SEEDS, per_cell=options.per_cell, size=(160, 120))
        store = Store(str(folder / "archive"))
        seal_made(store, draw_samples(drawing, write_caption))
        start = random_weights(folder / "start", options.seed)
        trained = train(settings_for(start, folder / "run", options.epochs, options.seed), store.root, _print_step)
        write_folder(options.out, load_file(f"{trained.root}/model/open_clip_model.safetensors"))
    print(f"{time.process_time() - began:.0f} s of one core, without drawing")
    for name, value in measure(ClipEncoder(model=f"local-dir:{options.out}"), 0, 40, options.seed).items():
        print(f"  {name}: {value:.4f}")


if __name__ == "__main__":
    main()
