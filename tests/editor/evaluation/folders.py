"""Folders of pairs as an editor leaves them, small."""

from pathlib import Path

import numpy as np
from PIL import Image

from editor.evaluation.pairs import Pair, write_pairs
from tests.making import textured

SIZE = (96, 80)


def picture(path: Path, seed: int, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    textured(*size, seed=seed).save(path)


def folder_of_pairs(
    folder: Path,
    *,
    sources: int = 2,
    emotions: tuple[str, ...] = ("joy", "fear", "curiosity"),
    method: str = "moodifier",
) -> list[Pair]:
    """``sources`` pictures with masks, each edited towards each emotion; the last source has no mask."""
    pairs = []
    for n in range(sources):
        picture(folder / f"sources/{n}.png", n)
        mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
        mask[20:60, 30:70] = 255
        Image.fromarray(mask).save(folder / f"sources/{n}-mask.png")
        for place, emotion in enumerate(emotions):
            edited = f"edits/{n}-{emotion}.png"
            picture(folder / edited, 100 * n + place + 10)
            pairs.append(
                Pair(
                    source=f"sources/{n}.png", edited=edited, emotion=emotion, prompt=f"full of {emotion}",
                    method=method, mask=f"sources/{n}-mask.png" if n < sources - 1 else "",
                    category=("face", "bag")[n % 2],
                )
            )  # fmt: skip
    write_pairs(folder, pairs)
    return pairs
