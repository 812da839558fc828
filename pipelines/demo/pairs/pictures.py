"""Paired drawings as the pictures that a diffusion model learns from."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
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
    PairedScene,
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


@dataclass(frozen=True)
class _Words:
    kind: str
    mood: Mood
    content: str
    caption: str


class DrawnPictures:
    """``places`` places of each kind from ``first_seed`` up: in every mood, in a mixed one, and in a local one."""

    def __init__(self, *, first_seed: int, places: int, size: int, processes: int = 1) -> None:
        self.name = f"drawn pairs, seeds {first_seed} to {first_seed + places - 1}, {size} pixels"
        self._jobs = [(kind, first_seed + index) for index in range(places) for kind in KINDS]
        self._size, self._processes = size, processes

    @cached_property
    def _drawn(self) -> tuple[Tensor, list[_Words]]:
        """Drawn when they are first needed: a run that has its latents needs no picture."""
        draw = partial(_draw_place, self._size)
        if self._processes > 1:
            with get_context("spawn").Pool(self._processes) as workers:
                drawn = workers.map(draw, self._jobs, chunksize=16)
        else:
            drawn = [draw(job) for job in self._jobs]
        pixels = torch.from_numpy(np.concatenate([pixels for pixels, _ in drawn]))
        return pixels, [words for _, of_place in drawn for words in of_place]

    def __len__(self) -> int:
        return len(self._jobs) * PER_PLACE

    def pixels(self, rows: Sequence[int]) -> Tensor:
        """See ``train.diffusion.pictures.Pictures``."""
        return self._drawn[0][list(rows)]

    def prompt(self, row: int, rng: random.Random) -> str:
        """One of the forms in which a picture may be asked for: as described, as an emotion, as the planner does."""
        words = self._drawn[1][row]
        return prompt_for(words.kind, words.mood, words.content, words.caption, rng)


def prompt_for(kind: str, mood: Mood, content: str, caption: str, rng: random.Random) -> str:
    """A true prompt of a drawing; ``rng`` chooses its form."""
    emotion = " and ".join(mood.emotions)
    phrases = cell_phrases(rng.choice(mood.emotions), CONTEXT_OF[kind])
    forms = (
        caption,
        caption,
        f"{caption}. A photo that evokes {emotion}.",
        f"{content}. A photo that evokes {emotion}.",
        f"A photo that evokes {emotion}.",
        f"A photo that evokes {emotion}: {', '.join(rng.sample(phrases, 3))}.",
        content,
    )
    return rng.choice(forms)


def _draw_place(size: int, job: tuple[str, int]) -> tuple[npt.NDArray[np.uint8], list[_Words]]:
    kind, seed = job
    rng = Generators(f"training/{kind}/{seed}").of("moods")
    scenes = [draw_paired(kind, seed, Mood(emotion, rng.randrange(1 << 30)), size) for emotion in PAIRED_EMOTIONS]
    one, other = rng.sample(PAIRED_EMOTIONS, 2)
    scenes.append(draw_paired(kind, seed, Mood(one, rng.randrange(1 << 30), other), size))
    one, other = rng.sample(PAIRED_EMOTIONS, 2)
    scenes.append(draw_local(kind, seed, Mood(one, rng.randrange(1 << 30)), Mood(other, rng.randrange(1 << 30)), size))
    return np.stack([_channels_first(scene) for scene in scenes]), [_words_of(scene) for scene in scenes]


def _words_of(scene: PairedScene) -> _Words:
    return _Words(scene.kind, scene.mood, scene.content, scene.caption)


def _channels_first(scene: PairedScene) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(np.asarray(scene.image).transpose(2, 0, 1))
