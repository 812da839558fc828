"""Trains the demo's small CLIP checkpoint from scratch on freshly drawn scenes, and measures it.

`python -m pipelines.demo.train_checkpoint` takes about 11 minutes on two CPU cores. Training draws only seeds
from TRAINING_SEEDS up, so every smaller seed is unseen by the shipped checkpoint.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from moodarchive.torch_compat import import_torchvision_safely
from pipelines.demo.scenes.pool import CELLS, Pool, draw_pool
from pipelines.demo.scenes.scene import DRAWN_CONTEXTS, DRAWN_EMOTIONS, cell_phrases

TRAINING_SEEDS = 1_000_000_000
CHECKPOINT = Path(__file__).parent / "checkpoint"
IMAGE_SIDE = 112
POOL_SIDE = 128
PHRASE_TEMPLATES = ("{}", "a photo of {}", "an image of {}", "a picture of {}")
EMOTION_TEMPLATES = (
    "an image that evokes {}",
    "a photo that shows {}",
    "a scene full of {}",
    "a photo that evokes {}",
    "a picture of {}",
    "{}",
)
MODEL_CONFIG = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": IMAGE_SIDE, "layers": [1, 1, 1, 1], "width": 24, "head_width": 64},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 96, "heads": 4, "layers": 2},
}
PREPROCESS_CONFIG = {
    "size": [IMAGE_SIDE, IMAGE_SIDE],
    "mode": "RGB",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "interpolation": "bicubic",
    "resize_mode": "squash",
    "fill_color": 0,
}


def _open_clip() -> Any:
    import_torchvision_safely()
    import open_clip

    return open_clip


def _to_input(pixels: torch.Tensor) -> torch.Tensor:
    """Return [rows, side, side, 3] bytes as the normalised [rows, 3, side, side] that the image tower takes."""
    return ((pixels.float() / 255 - 0.5) / 0.25).permute(0, 3, 1, 2)


def _augmented(pool: Pool, rows: Sequence[int], rng: random.Random) -> torch.Tensor:
    """Return the rows as input with random crops, contrast and brightness."""
    side = rng.randint(104, POOL_SIDE)
    crops = np.empty((len(rows), side, side, 3), dtype=np.uint8)
    for place, row in enumerate(rows):
        top, left = rng.randint(0, POOL_SIDE - side), rng.randint(0, POOL_SIDE - side)
        crops[place] = pool.pixels[row, top : top + side, left : left + side]
    batch = functional.interpolate(
        _to_input(torch.from_numpy(crops)), (IMAGE_SIDE, IMAGE_SIDE), mode="bilinear", antialias=True
    )
    gain = torch.tensor([rng.uniform(0.85, 1.15) for _ in rows])[:, None, None, None]
    shift = torch.tensor([rng.uniform(-0.25, 0.25) for _ in rows])[:, None, None, None]
    return (batch * gain + shift).contiguous(memory_format=torch.channels_last)


def _batch_texts(pool: Pool, rows: Sequence[int], rng: random.Random) -> tuple[list[str], torch.Tensor]:
    """Return texts for a batch and how well each fits each picture, [pictures, texts].

    A cell's phrases fit all pictures of the cell and an emotion's name all of the emotion. A picture's own
    words fit it in full and, in part, the other pictures of its cell: they are no negatives.
    """
    cells = pool.cells[np.asarray(rows)]
    texts, columns = [], []
    for cell, (emotion, context) in enumerate(CELLS):
        for phrase in rng.sample(cell_phrases(emotion, context), 3):
            texts.append(rng.choice(PHRASE_TEMPLATES).format(phrase))
            columns.append((cells == cell).astype(np.float32))
    for index, emotion in enumerate(DRAWN_EMOTIONS):
        texts.append(rng.choice(EMOTION_TEMPLATES).format(emotion))
        columns.append((cells // len(DRAWN_CONTEXTS) == index).astype(np.float32))
    for place in range(0, len(rows), 2):
        text = rng.choice(pool.words[rows[place]])
        same = np.array([text in pool.words[row] for row in rows])
        texts.append(text)
        columns.append(np.maximum(same, 0.3 * (cells == cells[place])).astype(np.float32))
    return texts, torch.from_numpy(np.stack(columns, axis=1))


def _loss(images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor, fit: torch.Tensor) -> torch.Tensor:
    """Return the contrastive loss, both ways, with every fitting pair a positive."""
    logits = scale * images @ texts.T
    by_image = -(fit / fit.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1).mean()
    by_text = -(fit / fit.sum(0, keepdim=True) * logits.log_softmax(0)).sum(0).mean()
    return (by_image + by_text) / 2


def train(pool: Pool, seed: int, minutes: float) -> Any:
    """Return a model trained on `pool` for `minutes` of wall time, its learning rate a cosine of the time used."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    open_clip = _open_clip()
    model = open_clip.model.CLIP(**MODEL_CONFIG).to(memory_format=torch.channels_last).train()
    tokenizer = open_clip.SimpleTokenizer(context_length=77)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05, betas=(0.9, 0.98))
    by_cell = [np.flatnonzero(pool.cells == cell).tolist() for cell in range(len(CELLS))]
    start, step = time.monotonic(), 0
    while (share := (time.monotonic() - start) / (minutes * 60)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1.0, (step + 1) / 60) * (0.5 + 0.5 * math.cos(math.pi * share))
        rows = [row for members in by_cell for row in rng.sample(members, 4)]
        texts, fit = _batch_texts(pool, rows, rng)
        with torch.autocast("cpu", torch.bfloat16):
            pictures = model.encode_image(_augmented(pool, rows, rng), normalize=True)
            words = model.encode_text(tokenizer(texts), normalize=True)
        loss = _loss(pictures.float(), words.float(), model.logit_scale.exp(), fit)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        model.logit_scale.data.clamp_(0, math.log(100))
        if step % 50 == 0:
            print(f"step {step}, {share:.0%} of the time, loss {loss.item():.3f}", flush=True)
        step += 1
    return model.eval()


def save(model: Any, folder: Path) -> None:
    """Write the model in half precision with its configuration, as open_clip's local-dir: loads it."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    weights = folder / "open_clip_model.safetensors"
    save_file(tensors, weights)
    weights.chmod(0o644)  # safetensors leaves it readable by its owner alone
    config = {"model_cfg": MODEL_CONFIG, "preprocess_cfg": PREPROCESS_CONFIG}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


@torch.inference_mode()
def measure(folder: Path, pool: Pool, seed: int) -> dict[str, float]:
    """Return the figures of the checkpoint in `folder` on `pool`, drawn at the model's own side."""
    open_clip = _open_clip()
    model, _ = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()
    batches = torch.split(torch.from_numpy(pool.pixels), 256)
    images = torch.cat([model.encode_image(_to_input(batch), normalize=True) for batch in batches])
    phrases = [model.encode_text(tokenizer(list(cell_phrases(*cell))), normalize=True) for cell in CELLS]
    centres = functional.normalize(torch.stack([rows.mean(0) for rows in phrases]), dim=1)
    # An emotion's score is the closest of its templates and of its phrases in all contexts.
    contexts = len(DRAWN_CONTEXTS)
    scores = []
    for index, emotion in enumerate(DRAWN_EMOTIONS):
        named = model.encode_text(tokenizer([t.format(emotion) for t in EMOTION_TEMPLATES[:3]]), normalize=True)
        every = torch.cat([named, *phrases[index * contexts : (index + 1) * contexts]])
        scores.append((images @ every.T).amax(1))
    cells, by_emotion, by_cell = torch.from_numpy(pool.cells), torch.stack(scores, 1), images @ centres.T
    three = cells < 3 * contexts
    return {
        "accuracy over 24 cells (chance 1/24)": (by_cell.argmax(1) == cells).float().mean().item(),
        "accuracy over 12 cells (chance 1/12)": (by_cell[three, :12].argmax(1) == cells[three]).float().mean().item(),
        "accuracy over 6 emotions (chance 1/6)": (by_emotion.argmax(1) == cells // contexts).float().mean().item(),
        "mislabelled in the cut, 3 emotions": _caught(by_emotion[three, :3].numpy(), pool.cells[three.numpy()], seed),
        "mislabelled in the cut, 6 emotions": _caught(by_emotion.numpy(), pool.cells, seed),
    }


def _caught(scores: npt.NDArray[np.float32], cells: npt.NDArray[np.int64], seed: int) -> float:
    """Mislabel a tenth of the pictures with another emotion's cell, cut the lowest fifth within each labelled
    cell, and return the share of the mislabelled that was cut (chance 0.2). `scores` is [rows, emotions].
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


def main() -> None:
    """Draw, train, save and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=CHECKPOINT, help="folder to write (default: the shipped one)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=8.0, help="wall time of training alone")
    parser.add_argument("--per-cell", type=int, default=700, help="training scenes drawn for each of the 24 cells")
    options = parser.parse_args()
    sizes = [(320, 240)] * 4 + [(240, 320), (256, 256)]
    pool = draw_pool(TRAINING_SEEDS + options.seed * 1_000_000, options.per_cell, sizes, POOL_SIDE)
    print(f"drew {len(pool.cells)} scenes")
    save(train(pool, options.seed, options.minutes), options.out)
    held_out = draw_pool(0, 167, [(640, 480)], IMAGE_SIDE)
    print(f"on {len(held_out.cells)} held-out scenes of 640 x 480:")
    for name, value in measure(options.out, held_out, options.seed).items():
        print(f"  {name}: {value:.4f}")


if __name__ == "__main__":
    main()
