"""Trains a caption editor, or goes on from the last checkpoint; then the folder that the editor opens."""

import copy
import hashlib
from pathlib import Path

import torch

from moodarchive.errors import ConfigError
from moodarchive.language_edit.caption_editor import EditorConfig, EditorModel, save_caption_editor
from moodarchive.language_edit.captioner import Captioner, open_captioner, require_editable
from moodarchive.settings import SettingScope
from moodarchive.storage.store import Store
from train.devices.device import choose_device, explain_device_errors
from train.diffusion.learner import Learner
from train.diffusion.run import Listener, Pace, expected_progress, run_steps
from train.epem.caption_loss import CaptionEditLoss, see_pictures, write_captions
from train.epem.caption_pairs import CaptionPairs, RecordedPairs
from train.epem.caption_settings import CaptionEditorSettings

MODEL = "model"
"""The folder below a run's output that the editor opens."""


def train_captions(settings: CaptionEditorSettings, tell: Listener, given: CaptionPairs | None = None) -> Path:
    """Trains to the end; returns the model's folder. ``given`` pairs in place of those that the settings name."""
    folder, output = Path(settings.captioner).expanduser(), Path(settings.output)
    if not settings.captioner:
        raise ConfigError("captioner is not named; remedy: the folder of a BLIP-2 with OPT")
    if given is None and not settings.records:
        raise ConfigError("records is not named; remedy: the JSON lines of an L-AVC set")
    require_editable(folder, settings.layers)
    pairs: CaptionPairs = given or RecordedPairs(Path(settings.records).expanduser())
    device = choose_device()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    with explain_device_errors(device):
        captioner = open_captioner(folder, device, settings.layers)
        model = make_editor(captioner, settings).to(device).train()
        weights = digest_weights(captioner, settings.layers)
        identity, cache = f"{pairs.name}; {weights}", output / "cache"
        pictures = see_pictures(captioner, pairs, identity, cache)
        own = write_captions(captioner, pictures, identity, cache) if settings.locality_captions == "own" else None
        loss = CaptionEditLoss(
            captioner=captioner, model=model, pairs=pairs, pictures=pictures, settings=settings, own=own
        )
        learner = Learner(
            model, settings.schedule, rate_scales={"editor.steps": settings.step_rate}, clip=settings.clip
        )
        run_steps(
            Store(settings.output),
            learner,
            loss,
            part="caption editor",
            expected=expected_progress(settings.of_kind(SettingScope.TRAINING), pairs.name, weights),
            pace=Pace(checkpoint_steps=settings.checkpoint_steps, keep=settings.keep_checkpoints),
            tell=tell,
        )
    averaged = copy.deepcopy(learner.average)
    assert isinstance(averaged, EditorModel)
    for kept, moved in zip(averaged.buffers(), model.buffers(), strict=True):
        kept.copy_(moved)  # running statistics are no weights, and no average is taken of them
    save_caption_editor(output / MODEL, averaged, folder)
    return output / MODEL


def make_editor(captioner: Captioner, settings: CaptionEditorSettings) -> EditorModel:
    """One of random weights of the seed."""
    config = EditorConfig(layers=settings.layers, rank=settings.rank, step=settings.step)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return EditorModel(captioner, config)


def digest_weights(captioner: Captioner, layers: int) -> str:
    """Names the captioner by the weights that are edited."""
    digest = hashlib.sha256()
    for name in captioner.weight_names(layers):
        digest.update(name.encode() + captioner.body.get_parameter(name).detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
