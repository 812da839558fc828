"""Hands each step's figures to TensorBoard and Weights & Biases, where the settings ask for them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

from moodarchive.errors import ConfigError, MissingExtraError
from train.settings import TrackerSettings

Track = Callable[[int, Mapping[str, float]], None]
"""Takes a step's number and its figures."""


@contextmanager
def trackers(settings: TrackerSettings, run: str, facts: Mapping[str, Any], done: int) -> Iterator[Track]:
    """Hands figures to all trackers; an earlier run's figures of steps after ``done`` no longer count.

    ``run`` names the training run among all others, the same after a resumption; ``facts`` are its settings.
    """
    with ExitStack() as stack:
        tracks: list[Track] = []
        if settings.tensorboard:
            tracks.append(stack.enter_context(_tensorboard(settings.tensorboard, done)))
        if settings.wandb:
            tracks.append(stack.enter_context(_wandb(settings.wandb, run, facts)))
        yield lambda step, figures: _track_all(tracks, step, figures)


def _track_all(tracks: Sequence[Track], step: int, figures: Mapping[str, float]) -> None:
    for track in tracks:
        track(step, figures)


@contextmanager
def _tensorboard(folder: str, done: int) -> Iterator[Track]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError(error.name or "tensorboard", "train") from error
    try:
        writer = SummaryWriter(folder, purge_step=done + 1)
    except OSError as error:
        raise ConfigError(
            f"trackers.tensorboard = {folder!r} cannot be written to: {error}; remedy: another folder, or the right to "
            "write there"
        ) from None

    def track(step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            writer.add_scalar(f"train/{name}", value, step)

    try:
        yield track
    finally:
        writer.close()


@contextmanager
def _wandb(project: str, identity: str, facts: Mapping[str, Any]) -> Iterator[Track]:
    """WANDB_MODE, WANDB_DIR, WANDB_API_KEY and the others are W&B's own environment."""
    try:
        wandb = import_module("wandb")
    except ImportError as error:
        raise MissingExtraError(error.name or "wandb", "train") from error
    try:
        run = wandb.init(project=project, id=identity, resume="allow", config=dict(facts))
    except Exception as error:  # its errors share no base
        raise ConfigError(
            f"W&B cannot be reached: {str(error)[:300]}; remedy: WANDB_API_KEY, or WANDB_MODE=offline"
        ) from error
    try:
        yield lambda step, figures: run.log({f"train/{name}": value for name, value in figures.items()}, step=step)
    finally:
        run.finish()
