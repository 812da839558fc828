"""Many drawn scenes at once, as arrays of small pictures, drawn on all cores."""

from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.demo.scenes.scene import DRAWN_CONTEXTS, DRAWN_EMOTIONS, draw_scene

CELLS = tuple((emotion, context) for emotion in DRAWN_EMOTIONS for context in DRAWN_CONTEXTS)
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Drawn pictures with their words; row i belongs to the cell `cells[i]` of CELLS."""

    pixels: Pixels
    """[rows, side, side, 3]"""
    cells: npt.NDArray[np.int64]
    words: list[tuple[str, ...]]
    """Title, alt text and stimuli of each picture."""


def _draw_row(job: tuple[int, int, tuple[int, int], int]) -> tuple[Pixels, tuple[str, ...]]:
    """Draw (cell, seed, size, side) and squash it to side x side pixels, as the checkpoint's preprocessing does."""
    cell, seed, size, side = job
    scene = draw_scene(*CELLS[cell], seed, size)
    squashed = scene.image.resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(squashed, dtype=np.uint8), (scene.title, scene.alt_text, *scene.stimuli)


def draw_pool(first_seed: int, per_cell: int, sizes: Sequence[tuple[int, int]], side: int) -> Pool:
    """Draw `per_cell` scenes of every cell from `first_seed` up, in `sizes` by turns, on all cores."""
    jobs = [
        (cell, first_seed + index, sizes[index % len(sizes)], side)
        for cell in range(len(CELLS))
        for index in range(per_cell)
    ]
    pixels = np.empty((len(jobs), side, side, 3), dtype=np.uint8)
    words = []
    with get_context("spawn").Pool() as workers:
        for row, (picture, texts) in enumerate(workers.imap(_draw_row, jobs, chunksize=64)):
            pixels[row] = picture
            words.append(texts)
    return Pool(pixels=pixels, cells=np.repeat(np.arange(len(CELLS)), per_cell), words=words)
