"""Trains the emotion predictor: a ResNet on labelled pictures, its temperature fitted on rows it has not learnt."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from moodarchive.diffusion.predictor import Architecture, EmotionPredictor, fit_temperature, make_predictor
from moodarchive.errors import ConfigError
from moodarchive.settings import SettingScope
from moodarchive.storage.store import Store
from train.devices.device import choose_device, explain_device_errors
from train.diffusion.learner import Learner
from train.diffusion.pictures import generator_of_step, rows_of_step
from train.diffusion.run import Listener, Pace, autocast, expected_progress, run_steps
from train.emoeditor.settings import PredictorSettings


class Labelled(Protocol):
    """Square pictures of one size, each of one of Mikels' eight."""

    @property
    def name(self) -> str: ...

    @property
    def classes(self) -> Sequence[int]: ...

    def __len__(self) -> int: ...

    def pixels(self, rows: Sequence[int]) -> Tensor:
        """uint8 [rows, 3, side, side]."""
        ...


@dataclass(frozen=True, kw_only=True)
class PredictorReport:
    """What held-out rows say of the predictor."""

    folder: Path
    accuracy: float
    temperature: float
    rows: int


class PredictorLoss:
    """Cross-entropy of a step's pictures, mirrored, blurred and noised by chance."""

    def __init__(
        self, network: nn.Module, pictures: Labelled, settings: PredictorSettings, precision: torch.autocast
    ) -> None:
        self._network, self._pictures, self._settings, self._precision = network, pictures, settings, precision

    def __call__(self, step: int) -> Tensor:
        """A scalar."""
        settings, draw = self._settings, generator_of_step(step, self._settings.seed)
        rows = rows_of_step(step, settings.schedule.batch, len(self._pictures), settings.seed)
        pixels = disturb(self._pictures.pixels(rows).float() / 255, settings, draw)
        device = next(self._network.parameters()).device
        classes = torch.tensor([self._pictures.classes[row] for row in rows], device=device)
        with self._precision:
            logits = self._network(pixel_values=pixels.to(device)).logits
        return nn.functional.cross_entropy(logits.float(), classes)


def disturb(pixels: Tensor, settings: PredictorSettings, draw: torch.Generator) -> Tensor:
    """[B, 3, side, side] in [0, 1]: half mirrored, some blurred (a mean over 3 x 3), noise of a random strength."""
    chance = torch.rand(len(pixels), 3, generator=draw)
    mirrored = torch.where((chance[:, 0] < 0.5)[:, None, None, None], pixels.flip(-1), pixels)
    smooth = nn.functional.avg_pool2d(nn.functional.pad(mirrored, (1, 1, 1, 1), mode="replicate"), 3, 1)
    seen = torch.where((chance[:, 1] < settings.blur)[:, None, None, None], smooth, mirrored)
    strength = (chance[:, 2] * settings.noise)[:, None, None, None]
    return (seen + strength * torch.randn(seen.shape, generator=draw)).clamp(0, 1)


def train_predictor(
    settings: PredictorSettings, pictures: Labelled, held_out: Labelled, tell: Listener
) -> PredictorReport:
    """Trains to the end or goes on; writes OUTPUT/model; ``held_out`` fits the temperature and gives the accuracy."""
    if not len(pictures) or not len(held_out):
        raise ConfigError("the predictor needs pictures to learn from and others to be judged by; remedy: more data")
    device = choose_device()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    architecture = Architecture(
        hidden_sizes=settings.hidden_sizes,
        depths=settings.depths,
        embedding_size=settings.embedding_size,
        side=settings.side,
    )
    predictor = make_predictor(architecture, settings.seed)
    network: nn.Module = predictor.network.to(device).train()
    with explain_device_errors(device):
        run_steps(
            Store(settings.output),
            Learner(network, settings.schedule),
            PredictorLoss(network, pictures, settings, autocast(settings.precision, device)),
            part="predictor",
            expected=expected_progress(settings.of_kind(SettingScope.TRAINING), pictures.name),
            pace=Pace(checkpoint_steps=settings.checkpoint_steps, keep=settings.keep_checkpoints),
            tell=tell,
        )
        network.eval()
        logits, classes = predict_logits(predictor, held_out), torch.tensor(list(held_out.classes))
    predictor.temperature = fit_temperature(logits, classes)
    folder = Path(settings.output) / "model"
    predictor.save(folder)
    return PredictorReport(
        folder=folder,
        accuracy=float((logits.argmax(1) == classes).float().mean()),
        temperature=predictor.temperature,
        rows=len(held_out),
    )


@torch.inference_mode()
def predict_logits(predictor: EmotionPredictor, pictures: Labelled, at_once: int = 128) -> Tensor:
    """float32 [N, 8] on the CPU, before the temperature."""
    return torch.cat(
        [
            predictor.logits(pictures.pixels(range(first, min(first + at_once, len(pictures)))).float() / 255).cpu()
            for first in range(0, len(pictures), at_once)
        ]
    )
