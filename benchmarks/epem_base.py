"""A base that knows the captions' language, as Stable Diffusion knows that of the captions which EPEM writes.

The demo's base learnt other words for the same drawings: of what it draws under such captions the judge names 0.57 as
they are meant, under its own descriptions 0.98. An adapter that leaves the base as it is cannot be told from that gap.
"""

import argparse
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from moodarchive.diffusion.text import TextTower
from pipelines.demo.bundled_base import prepare_bundled_base
from pipelines.demo.pairs.captions import drawn_caption
from pipelines.demo.pairs.drawing import PAIRED_EMOTIONS, describe_paired
from pipelines.demo.pairs.drawn_captioner import draw_captioned
from pipelines.demo.pairs.pictures import prompt_for
from train.diffusion.base import train_base
from train.diffusion.run import StepReport
from train.diffusion.settings import DenoiserSettings, DiffusionSettings, ScheduleSettings

FIRST_PLACE = 60_000
"""Of the drawings; neither the cases' places, the records' nor those of the language half."""
BATCH, RATE = 16, 5e-4
SAID_STEPS = 100
SIZE = 64


class Captioned:
    """Drawings of places in every mood, under their captions as often as under the words that the base knows."""

    def __init__(self, places: int) -> None:
        self._drawn = draw_captioned(FIRST_PLACE, places, SIZE, PAIRED_EMOTIONS)
        self.name = f"captioned drawings, places {FIRST_PLACE} to {FIRST_PLACE + places - 1}, {SIZE} pixels"

    def __len__(self) -> int:
        return len(self._drawn)

    def pixels(self, rows: Sequence[int]) -> Tensor:
        """See ``train.diffusion.pictures.Pictures``."""
        arrays = [np.asarray(self._drawn[row].image).transpose(2, 0, 1).copy() for row in rows]
        return torch.from_numpy(np.stack(arrays))

    def prompt(self, row: int, rng: random.Random) -> str:
        """The caption, or one of the forms of which the base learnt."""
        one = self._drawn[row]
        if rng.random() < 0.5:
            return drawn_caption(one.kind, one.place, one.emotion)
        return prompt_for(one.kind, one.mood, describe_paired(one.kind, one.place, one.mood), rng)


def prepare_base(options: argparse.Namespace, work: Path) -> Path:
    """One for all seeds and arms, as a base is given: taught here, or by an earlier run with the same ``work``."""
    bundled = prepare_bundled_base().base
    if not options.base_steps:
        return bundled
    name = f"base-{options.base_places}-{options.base_steps}x{BATCH}"
    folder, output = work / name, work / f"{name}-training"
    if folder.is_dir():
        return folder
    settings = DiffusionSettings(
        output=str(output),
        start=str(bundled),
        size=SIZE,
        threads=1,
        denoiser=DenoiserSettings(
            schedule=ScheduleSettings(
                steps=options.base_steps, batch=BATCH, learning_rate=RATE, decay_steps=options.base_steps // 2,
                average=0.995,
            )
        ),
    )  # fmt: skip
    text = bundled / "text_encoder", bundled / "tokenizer"
    tower = TextTower(model=text[0], tokenizer=text[1], device=torch.device("cpu"), dtype=torch.float32)
    began = time.process_time()

    def tell(report: StepReport) -> None:
        if report.step % SAID_STEPS == 0:
            spent = time.process_time() - began
            print(f"    base: step {report.step}/{report.steps}, loss {report.loss:.3f}, {spent:.0f} s", flush=True)

    learnt = train_base(settings, Captioned(options.base_places), {"bundled": tower}, tell)
    draft = folder.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(learnt, draft)
    for part in text:
        shutil.copytree(part, draft / part.name)
    draft.rename(folder)
    return folder
