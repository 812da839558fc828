"""The autoencoder: made, taught, and measured."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from train.diffusion.pictures import Pictures, generator_of_step, rows_of_step, to_signed
from train.diffusion.settings import AutoencoderSettings


def make_autoencoder(settings: AutoencoderSettings, size: int, seed: int) -> Any:
    """A diffusers AutoencoderKL with random weights of the seed."""
    from moodarchive.models.torch_compat import import_torchvision_safely

    import_torchvision_safely()
    from diffusers import AutoencoderKL

    torch.manual_seed(seed)
    levels = len(settings.widths)
    made: Any = AutoencoderKL
    return made(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=settings.widths,
        layers_per_block=settings.layers,
        latent_channels=settings.channels,
        norm_num_groups=settings.groups,
        mid_block_add_attention=settings.attention,
        sample_size=size,
    )


class AutoencoderLoss:
    """The loss of a step on random crops: errors of pixels and edges, and the latent's distance to a normal."""

    def __init__(
        self, vae: Any, pictures: Pictures, settings: AutoencoderSettings, seed: int, precision: torch.autocast
    ) -> None:
        self._vae, self._pictures, self._settings, self._seed = vae, pictures, settings, seed
        self._precision = precision

    def __call__(self, step: int) -> Tensor:
        """A scalar."""
        settings, draw = self._settings, generator_of_step(step, self._seed)
        rows = rows_of_step(step, settings.schedule.batch, len(self._pictures), self._seed)
        device = next(self._vae.parameters()).device
        pixels = _crop(to_signed(self._pictures.pixels(rows)), settings.crop, draw).to(device)
        with self._precision:
            latent = self._vae.encode(pixels).latent_dist
            noise = torch.randn(latent.mean.shape, generator=draw).to(device)
            made = self._vae.decode(latent.mean + latent.std * noise).sample
        made, mean, variance = made.float(), latent.mean.float(), latent.logvar.float()
        divergence: Tensor = 0.5 * (mean.square() + variance.exp() - 1 - variance).sum(dim=(1, 2, 3)).mean()
        error = _picture_error(made, pixels, settings.edges)
        return error + settings.divergence * divergence


class DecoderLoss:
    """The loss of a step of the decoder alone: errors of pixels and edges on crops of whole pictures' latents."""

    def __init__(
        self,
        *,
        vae: Any,
        latents: Tensor,
        pictures: Pictures,
        settings: AutoencoderSettings,
        seed: int,
        precision: torch.autocast,
    ) -> None:
        """``latents`` are unscaled, one a picture; the encoder, which others build on, is frozen here."""
        vae.requires_grad_(False)
        vae.decoder.requires_grad_(True)
        vae.post_quant_conv.requires_grad_(True)
        self._vae, self._latents, self._pictures, self._settings = vae, latents, pictures, settings
        self._seed, self._precision = seed, precision

    def __call__(self, step: int) -> Tensor:
        """A scalar."""
        settings, draw = self._settings, generator_of_step(step, self._seed)
        rows = rows_of_step(step, settings.decoder.batch, len(self._pictures), self._seed)
        cell = 2 ** (len(settings.widths) - 1)
        side, room = settings.crop // cell, self._latents.shape[-1] - settings.crop // cell
        corners = torch.randint(room + 1, (len(rows), 2), generator=draw).tolist()
        latents = torch.stack(
            [self._latents[row, :, y : y + side, x : x + side] for row, (y, x) in zip(rows, corners, strict=True)]
        )
        pixels = torch.stack(
            [
                picture[:, y * cell : (y + side) * cell, x * cell : (x + side) * cell]
                for picture, (y, x) in zip(to_signed(self._pictures.pixels(rows)), corners, strict=True)
            ]
        )
        device = next(self._vae.parameters()).device
        with self._precision:
            made = self._vae.decode(latents.to(device)).sample
        return _picture_error(made.float(), pixels.to(device), settings.edges)


@torch.inference_mode()
def encode_all(vae: nn.Module, pictures: Pictures, batch: int = 64) -> Tensor:
    """float32 [N, channels, h, w], the modes of all pictures' latents, unscaled."""
    device = next(vae.parameters()).device
    encoded: list[Tensor] = []
    for first in range(0, len(pictures), batch):
        rows = range(first, min(first + batch, len(pictures)))
        encoded.append(vae.encode(to_signed(pictures.pixels(rows)).to(device)).latent_dist.mode().float().cpu())  # type: ignore[operator]
    return torch.cat(encoded)


@torch.inference_mode()
def rebuilt_psnr(vae: nn.Module, pictures: Pictures, rows: Sequence[int]) -> float:
    """Mean over pictures of the signal to noise ratio, dB, of what the autoencoder makes of them."""
    device = next(vae.parameters()).device
    ratios = []
    for row in rows:
        pixels = to_signed(pictures.pixels([row])).to(device)
        made = vae.decode(vae.encode(pixels).latent_dist.mode()).sample.clamp(-1, 1)  # type: ignore[operator]
        ratios.append(-10 * torch.log10(((made - pixels) / 2).square().mean()).item())
    return sum(ratios) / len(ratios)


def _picture_error(made: Tensor, pixels: Tensor, edges: float) -> Tensor:
    """Absolute and squared error, and ``edges`` times the absolute error of neighbours' differences."""
    error = l1_loss(made, pixels) + mse_loss(made, pixels)
    for axis in (2, 3):
        error = error + edges * l1_loss(made.diff(dim=axis), pixels.diff(dim=axis))
    return error


def _crop(pixels: Tensor, side: int, draw: torch.Generator) -> Tensor:
    """A random square of each picture."""
    count, _, height, width = pixels.shape
    if side == height == width:
        return pixels
    tops = torch.randint(height - side + 1, (count,), generator=draw).tolist()
    lefts = torch.randint(width - side + 1, (count,), generator=draw).tolist()
    return torch.stack(
        [one[:, top : top + side, left : left + side] for one, top, left in zip(pixels, tops, lefts, strict=True)]
    )
