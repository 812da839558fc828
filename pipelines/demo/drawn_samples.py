"""Many drawn scenes at once as samples with captions that are true of them, drawn on all cores."""

import io
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

from pipelines.demo.made_archive import Caption, Made
from pipelines.demo.scenes.scene import DRAWN_CONTEXTS, DRAWN_EMOTIONS, Scene, draw_scene

CELLS = tuple((emotion, context) for emotion in DRAWN_EMOTIONS for context in DRAWN_CONTEXTS)
Captioner = Callable[[Scene, random.Random], Caption]
Drawer = Callable[[str, str, int, tuple[int, int]], Scene]
"""Emotion, context, seed and size → the picture; ``draw_scene`` is one."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """``per_cell`` scenes of every cell from ``first_seed`` up, for one split, at ``size`` (width, height)."""

    split: str
    first_seed: int
    per_cell: int
    size: tuple[int, int]


def draw_samples(
    drawing: Drawing,
    captioner: Captioner,
    processes: int = 2,
    *,
    cells: Sequence[tuple[str, str]] = CELLS,
    draw: Drawer = draw_scene,
) -> list[Made]:
    """Equal arguments give equal samples; ``captioner`` and ``draw`` are modules' own functions: other processes call
    them."""
    jobs = [(cell, drawing.first_seed + index) for cell in cells for index in range(drawing.per_cell)]
    with get_context("spawn").Pool(processes) as workers:
        return workers.map(partial(_draw_sample, drawing, captioner, draw), jobs, chunksize=32)


def _draw_sample(drawing: Drawing, captioner: Captioner, draw: Drawer, job: tuple[tuple[str, str], int]) -> Made:
    (emotion, context), seed = job
    scene = draw(emotion, context, seed, drawing.size)
    packed = io.BytesIO()
    scene.image.save(packed, "JPEG", quality=90)
    name = f"{emotion} {context} {seed} {drawing.size}"
    return Made(
        name=name,
        jpeg=packed.getvalue(),
        caption=captioner(scene, random.Random(name)),
        split=drawing.split,
        emotion=emotion,
        context=context,
    )
