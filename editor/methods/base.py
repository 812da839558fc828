"""The diffusion model under the inversion-free methods: UNet and VAE, on the device and in the type they run in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from editor.edit import EditSettings
from moodarchive.diffusion.parts import diffusion_library, read_model
from moodarchive.errors import EditError
from moodarchive.models.device import choose_device


@dataclass(frozen=True, kw_only=True)
class Base:
    """Both models in evaluation mode."""

    folder: Path
    unet: Any
    vae: Any
    device: torch.device
    dtype: torch.dtype

    @property
    def cell(self) -> int:
        """Pixels that one cell of the latent is wide and high."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def depth(self) -> int:
        """How often the UNet halves the latent."""
        return len(self.unet.config.down_block_types) - 1

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """float32 latent of [1, 3, H, W] in [-1, 1]: the distribution's mode, so that it is the same each time."""
        latent: Tensor = self.vae.encode(pixels.to(self.device, self.dtype)).latent_dist.mode().float()
        return latent * float(self.vae.config.scaling_factor)

    @torch.inference_mode()
    def decode(self, latent: Tensor) -> Tensor:
        """[1, 3, H, W] of a float32 latent; one picture at a time, because this is where memory peaks."""
        pixels: Tensor = self.vae.decode((latent / float(self.vae.config.scaling_factor)).to(self.dtype)).sample
        return pixels


def choose_device_and_dtype(settings: EditSettings) -> tuple[torch.device, torch.dtype]:
    """The first GPU in bfloat16, else the CPU in float32, unless the settings name a type."""
    device = choose_device()
    named = settings.dtype if settings.dtype != "auto" else "bfloat16" if device.type == "cuda" else "float32"
    return device, torch.bfloat16 if named == "bfloat16" else torch.float32


def open_base(folder: Path, settings: EditSettings) -> Base:
    """A base of the SD 1.5 family; EditError when the files cannot be read or the UNet takes other channels."""
    diffusers = diffusion_library()
    device, dtype = choose_device_and_dtype(settings)
    unet = read_model(diffusers.UNet2DConditionModel, folder / "unet", dtype).to(device)
    vae = read_model(diffusers.AutoencoderKL, folder / "vae", dtype).to(device)
    channels, latent = unet.config.in_channels, vae.config.latent_channels
    if channels != latent:
        raise EditError(
            f"the UNet in {folder} takes {channels} channels, its VAE gives {latent}: a model for inpainting or for "
            "instruct-pix2pix; remedy: a plain base of the SD 1.5 family, or method instruct-pix2pix"
        )
    return Base(folder=folder, unet=unet, vae=vae, device=device, dtype=dtype)
