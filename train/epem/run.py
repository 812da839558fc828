"""Trains PER from L-AVC's records, or goes on from the last checkpoint; then the folder that the editor opens."""

from pathlib import Path

import torch

from moodarchive.diffusion.retaining import Retaining
from moodarchive.settings import SettingScope
from moodarchive.storage.store import Store
from train.devices.device import choose_device, explain_device_errors
from train.diffusion.learner import Learner
from train.diffusion.pair_latents import encode_pairs
from train.diffusion.run import Listener, Pace, autocast, expected_progress, run_steps
from train.epem.loss import EpemLoss
from train.epem.model import Frozen, export, make_model
from train.epem.records import Records, RecordsFile
from train.epem.settings import EpemSettings

MODEL = "model"
"""The folder below a run's output that the editor opens."""


def train_epem(settings: EpemSettings, tell: Listener, given: Records | None = None) -> Path:
    """Trains to the end; returns the folder of the model. ``given`` records in place of those that are named."""
    device = choose_device()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    records: Records = given or RecordsFile(Path(settings.records), split=settings.split, size=settings.size)
    output = Path(settings.output)
    with explain_device_errors(device):
        frozen = Frozen(settings, device)
        retaining, random_parts = make_model(settings, frozen)
        retaining = retaining.to(device).train()
        latents = encode_pairs(frozen.vae, records, output / "cache")
        learner = Learner(retaining, settings.schedule)
        run_steps(
            Store(settings.output),
            learner,
            EpemLoss(
                retaining=retaining,
                frozen=frozen,
                records=records,
                latents=latents,
                settings=settings,
                precision=autocast(settings.precision, device),
            ),
            part="epem",
            expected=expected_progress(settings.of_kind(SettingScope.TRAINING), records.name),
            pace=Pace(checkpoint_steps=settings.checkpoint_steps, keep=settings.keep_checkpoints),
            tell=tell,
        )
    averaged = learner.average
    assert isinstance(averaged, Retaining)
    begun = f"random at the start: the Q-Former's {', '.join(random_parts)}" if random_parts else ""
    facts = [
        f"{settings.schedule.steps:,} steps of {settings.schedule.batch} records of {records.name}",
        f"{'with' if settings.eai else 'without'} the EAI block, weight {settings.pixel_weight} of the pixels' loss",
        *([begun] if begun else []),
        "what the records', the base's and the BLIP-2's licences bind goes with this model",
    ]
    export(output / MODEL, averaged, frozen, facts)
    return output / MODEL
