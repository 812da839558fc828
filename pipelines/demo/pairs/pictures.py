"""Paired drawings as the pictures that a diffusion model learns from."""

import random
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from multiprocessing import get_context

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipelines.demo.pairs.drawing import (
    CONTEXT_OF,
    KINDS,
    PAIRED_EMOTIONS,
    Words,
    describe_local,
    describe_paired,
    draw_local,
    draw_paired,
)
from pipelines.demo.pairs.generators import Generators
from pipelines.demo.pairs.moods import Mood
from pipelines.demo.scenes.scene import cell_phrases

TRAINING_SEEDS = 1_000_000_000
"""Places that are trained on have seeds from here up; every smaller one is unseen."""

PER_PLACE = len(PAIRED_EMOTIONS) + 2
"""Pictures of a place: in every mood, in a mixed one, and in a local one."""


class DrawnPictures:
    """``places`` places of each kind from ``first_seed`` up: in every mood, in a mixed one, and in a local one."""

    def __init__(
        self,
        *,
        first_seed: int,
        places: int,
        size: int,
        processes: int = 1,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """``say`` hears that drawing begins, which takes a while."""
        self.name = f"drawn pairs, seeds {first_seed} to {first_seed + places - 1}, {size} pixels"
        self._jobs = [(kind, first_seed + index) for index in range(places) for kind in KINDS]
        self._size, self._processes, self._say = size, processes, say

    @cached_property
    def _drawn(self) -> Tensor:
        """Drawn when a picture is first needed: a run that has its latents reads words alone."""
        self._say(f"drawing {len(self):,} pictures")
        draw = partial(_draw_place, self._size)
        if self._processes > 1:
            with get_context("spawn").Pool(self._processes) as workers:
                drawn = workers.map(draw, self._jobs, chunksize=16)
        else:
            drawn = [draw(job) for job in self._jobs]
        return torch.from_numpy(np.concatenate(drawn))

    def __len__(self) -> int:
        return len(self._jobs) * PER_PLACE

    def pixels(self, rows: Sequence[int]) -> Tensor:
        """See ``train.diffusion.pictures.Pictures``."""
        return self._drawn[list(rows)]

    def prompt(self, row: int, rng: random.Random) -> str:
        """One of the forms in which a picture may be asked for: as described, as an emotion, as the planner does."""
        kind, seed = self._jobs[row // PER_PLACE]
        mood, rest = _moods_of(kind, seed)[row % PER_PLACE]
        words = describe_local(kind, seed, mood, rest) if rest else describe_paired(kind, seed, mood)
        return prompt_for(kind, mood, words, rng)


def prompt_for(kind: str, mood: Mood, words: Words, rng: random.Random) -> str:
    """A true prompt of a drawing; ``rng`` chooses its form."""
    emotion = " and ".join(mood.emotions)
    phrases = cell_phrases(rng.choice(mood.emotions), CONTEXT_OF[kind])
    forms = (
        words.caption,
        words.caption,
        f"{words.caption}. A photo that evokes {emotion}.",
        f"{words.content}. A photo that evokes {emotion}.",
        f"A photo that evokes {emotion}.",
        f"A photo that evokes {emotion}: {', '.join(rng.sample(phrases, 3))}.",
        words.content,
    )
    return rng.choice(forms)


def _moods_of(kind: str, seed: int) -> list[tuple[Mood, Mood | None]]:
    """Of each picture of a place its mood; of the last one, which is local, the mood of the rest, too."""
    rng = Generators(f"training/{kind}/{seed}").of("moods")
    moods: list[tuple[Mood, Mood | None]] = [
        (Mood(emotion, rng.randrange(1 << 30)), None) for emotion in PAIRED_EMOTIONS
    ]
    one, other = rng.sample(PAIRED_EMOTIONS, 2)
    moods.append((Mood(one, rng.randrange(1 << 30), other), None))
    one, other = rng.sample(PAIRED_EMOTIONS, 2)
    moods.append((Mood(one, rng.randrange(1 << 30)), Mood(other, rng.randrange(1 << 30))))
    return moods


def _draw_place(size: int, job: tuple[str, int]) -> npt.NDArray[np.uint8]:
    kind, seed = job
    scenes = [
        draw_local(kind, seed, mood, rest, size) if rest else draw_paired(kind, seed, mood, size)
        for mood, rest in _moods_of(kind, seed)
    ]
    return np.stack([np.ascontiguousarray(np.asarray(scene.image).transpose(2, 0, 1)) for scene in scenes])
