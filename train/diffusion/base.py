"""Trains a base from nothing: the autoencoder, its latents, the denoiser; then the folder that the editor opens."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from moodarchive.settings import SettingScope
from moodarchive.storage.store import Store
from train.devices.device import choose_device, explain_device_errors
from train.diffusion.autoencoder import AutoencoderLoss, DecoderLoss, encode_all, make_autoencoder
from train.diffusion.denoiser import DenoiserLoss, Texts, make_denoiser
from train.diffusion.folder import open_start, write_base
from train.diffusion.learner import Learner
from train.diffusion.pictures import Pictures
from train.diffusion.run import Listener, Pace, autocast, expected_progress, run_steps
from train.diffusion.settings import DiffusionSettings

BASE = "base"
"""The folder below a run's output that the editor opens."""


def train_base(settings: DiffusionSettings, pictures: Pictures, towers: Mapping[str, Texts], tell: Listener) -> Path:
    """Trains encoder, denoiser and decoder, or goes on from their checkpoints; returns the folder of the base.

    ``towers`` are text towers by names that tell them apart; the denoiser learns from all of them in turn. ``tell``
    hears every step. The decoder learns on at the end, because latents and denoiser depend on the encoder alone.
    With ``start`` the denoiser alone learns, from that base's weights and in its latents. ConfigError for a ``start``
    that is no base, or one of another schedule, text width or size.
    """
    folder = Path(settings.output) / BASE
    if settings.start:
        width = next(iter(towers.values())).width
        vae, unet = open_start(Path(settings.start).expanduser(), size=settings.size, text_width=width)
        latents = encode_pictures(settings, vae.to(_prepare_device(settings)), pictures)
        unet = train_denoiser(
            settings, vae=vae, latents=latents, pictures=pictures, towers=towers, tell=tell, start=unet
        )
        write_base(folder, vae, unet)
        return folder
    vae = train_autoencoder(settings, pictures, tell)
    latents = encode_pictures(settings, vae, pictures)
    vae.register_to_config(scaling_factor=latent_scale(latents))
    unet = train_denoiser(settings, vae=vae, latents=latents, pictures=pictures, towers=towers, tell=tell)
    vae = train_decoder(settings, vae, latents, pictures, tell)
    write_base(folder, vae, unet)
    return folder


def latent_scale(latents: Tensor) -> float:
    """The factor that gives latents a standard deviation of 1."""
    return 1 / float(latents.std())


def train_autoencoder(settings: DiffusionSettings, pictures: Pictures, tell: Listener) -> Any:
    """The averaged autoencoder after all its steps, or where its checkpoints stand, from there on."""
    device = _prepare_device(settings)
    vae = make_autoencoder(settings.autoencoder, settings.size, settings.seed).to(device)
    learner = Learner(vae, settings.autoencoder.schedule)
    loss = AutoencoderLoss(vae, pictures, settings.autoencoder, settings.seed, autocast(settings.precision, device))
    parts = settings.autoencoder.of_kind(SettingScope.TRAINING)
    joint = {name: value for name, value in parts.items() if name != "decoder"}
    expected = expected_progress(_common(settings) | {"autoencoder": joint}, pictures.name)
    return _train_part(settings, "autoencoder", learner, loss, expected=expected, tell=tell)


def train_denoiser(
    settings: DiffusionSettings,
    *,
    vae: Any,
    latents: Tensor,
    pictures: Pictures,
    towers: Mapping[str, Texts],
    tell: Listener,
    start: Any = None,
) -> Any:
    """The averaged UNet over the autoencoder's ``latents`` of ``pictures``; ``start`` is one that learns on."""
    device = _prepare_device(settings)
    begun = [_digest(start)] if start is not None else []
    unet = (
        start
        if start is not None
        else make_denoiser(
            settings.denoiser,
            channels=latents.shape[1],
            side=latents.shape[2],
            text_width=next(iter(towers.values())).width,
            seed=settings.seed,
        )
    )
    unet = unet.to(device)
    learner = Learner(unet, settings.denoiser.schedule)
    loss = DenoiserLoss(
        unet=unet,
        latents=latents * vae.config.scaling_factor,
        pictures=pictures,
        towers=list(towers.values()),
        settings=settings.denoiser,
        seed=settings.seed,
        precision=autocast(settings.precision, device),
    )
    expected = expected_progress(
        settings.of_kind(SettingScope.TRAINING), pictures.name, _digest(vae), *begun, *sorted(towers)
    )
    return _train_part(settings, "denoiser", learner, loss, expected=expected, tell=tell)


def train_decoder(settings: DiffusionSettings, vae: Any, latents: Tensor, pictures: Pictures, tell: Listener) -> Any:
    """The autoencoder with a decoder that has learned on; its encoder is the one it came with."""
    device = _prepare_device(settings)
    before = _digest(vae)
    own = _common(settings) | {"autoencoder": settings.autoencoder.of_kind(SettingScope.TRAINING)}
    loss = DecoderLoss(
        vae=vae,
        latents=latents,
        pictures=pictures,
        settings=settings.autoencoder,
        seed=settings.seed + 1,
        precision=autocast(settings.precision, device),
    )
    learner = Learner(vae, settings.autoencoder.decoder)
    return _train_part(
        settings, "decoder", learner, loss, expected=expected_progress(own, pictures.name, before), tell=tell
    )


def _prepare_device(settings: DiffusionSettings) -> torch.device:
    """Where the training runs; on a CPU with the threads that the settings allow."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    return choose_device()


def _train_part(
    settings: DiffusionSettings, part: str, learner: Learner, loss: Any, *, expected: Any, tell: Listener
) -> Any:
    """The learner's average after all steps of a part, whose checkpoints lie in a folder of its name."""
    with explain_device_errors(choose_device()):
        run_steps(
            Store(str(Path(settings.output) / part)),
            learner,
            loss,
            part=part,
            expected=expected,
            pace=Pace(checkpoint_steps=settings.checkpoint_steps, keep=settings.keep_checkpoints),
            tell=tell,
        )
    return learner.average


def _common(settings: DiffusionSettings) -> dict[str, Any]:
    """What all parts of a training depend on."""
    return {"size": settings.size, "seed": settings.seed, "precision": settings.precision}


def encode_pictures(settings: DiffusionSettings, vae: Any, pictures: Pictures) -> Tensor:
    """The autoencoder's latents of all pictures, from the output's cache where it holds those."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    file, of = Path(settings.output) / "denoiser" / "latents.safetensors", f"{pictures.name}; {_digest(vae)}"
    name = hashlib.sha256(of.encode()).hexdigest()
    try:
        return load_file(file)[name]
    except (FileNotFoundError, SafetensorError, KeyError):
        latents = encode_all(vae, pictures)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    save_file({name: latents}, draft)
    draft.replace(file)
    return latents


def _digest(model: nn.Module) -> str:
    """Names a model's weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
