"""Trains EmoEditor from pairs, or goes on from the last checkpoint; then the folder that the editor opens."""

from pathlib import Path

import torch
from torch import Tensor

from moodarchive.diffusion.predictor import EmotionPredictor, open_predictor
from moodarchive.settings import SettingScope
from moodarchive.storage.store import Store
from train.devices.device import choose_device, explain_device_errors
from train.diffusion.learner import Learner
from train.diffusion.pair_latents import encode_pairs
from train.diffusion.run import Listener, Pace, autocast, expected_progress, run_steps
from train.emoeditor.loss import EmoEditorLoss
from train.emoeditor.model import EmoEditorModel, Frozen, export, make_model
from train.emoeditor.pairs import Pairs, SealedPairs
from train.emoeditor.settings import EmoEditorSettings

MODEL = "model"
"""The folder below a run's output that the editor opens."""


def train_emoeditor(settings: EmoEditorSettings, tell: Listener, given: Pairs | None = None) -> Path:
    """Trains to the end; returns the folder of the model. ``given`` pairs in place of those that the settings name."""
    device = choose_device()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    pairs: Pairs = given or SealedPairs(settings.pairs, sets=settings.sets, size=settings.size)
    output = Path(settings.output)
    with explain_device_errors(device):
        frozen = Frozen(settings, device)
        model = make_model(settings, frozen, pairs).to(device).train()
        latents = encode_pairs(frozen.vae, pairs, output / "cache")
        distributions = pairs.distributions
        if settings.labels == "predictor":
            distributions = predict_sources(open_predictor(frozen.predictor, device), pairs)
        learner = Learner(model, settings.schedule)
        loss = EmoEditorLoss(
            model=model,
            frozen=frozen,
            pairs=pairs,
            latents=latents,
            settings=settings,
            distributions=distributions,
            precision=autocast(settings.precision, device),
        )
        run_steps(
            Store(settings.output),
            learner,
            loss,
            part="emoeditor",
            expected=expected_progress(settings.of_kind(SettingScope.TRAINING), pairs.name),
            pace=Pace(checkpoint_steps=settings.checkpoint_steps, keep=settings.keep_checkpoints),
            tell=tell,
        )
    averaged = learner.average
    assert isinstance(averaged, EmoEditorModel)
    facts = [
        f"{settings.schedule.steps:,} steps of {settings.schedule.batch} pairs of {pairs.name}",
        f"condition {settings.condition}, weight {settings.embedding_weight} of the alignment loss",
        "what the pairs' and the base's licences bind goes with this model",
    ]
    export(output / MODEL, averaged, frozen, facts)
    return output / MODEL


@torch.inference_mode()
def predict_sources(predictor: EmotionPredictor, pairs: Pairs, at_once: int = 64) -> Tensor:
    """float32 [N, 8]: what an edit will take for the source's distribution."""
    predicted = [
        predictor.probabilities(pairs.pixels("source", range(first, min(first + at_once, len(pairs)))).float() / 255)
        for first in range(0, len(pairs), at_once)
    ]
    return torch.cat(predicted)
