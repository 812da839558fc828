"""The diffusion model under the inversion-free methods: UNet and VAE, on the device and in the type they run in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from editor.edit import EditSettings
from editor.weights import weights_variant
from moodarchive.errors import EditError, MissingExtraError
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


def diffusion_library() -> Any:
    """The diffusers module; MissingExtraError where it is not installed."""
    from moodarchive.models.torch_compat import import_torchvision_safely

    try:
        import_torchvision_safely()
        import diffusers
        import transformers
    except ImportError as error:
        raise MissingExtraError(error.name or "diffusers", "editor") from error
    logging: Any = transformers.utils.logging
    # a bar and a table of the image tower's unused weights for each read; what matters is checked where it is read
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    return diffusers


def open_base(folder: Path, settings: EditSettings) -> Base:
    """A base of the SD 1.5 family; EditError when the files cannot be read or the UNet takes other channels."""
    diffusers = diffusion_library()
    device, dtype = choose_device_and_dtype(settings)
    loaded = []
    for part, cls in (("unet", diffusers.UNet2DConditionModel), ("vae", diffusers.AutoencoderKL)):
        try:
            variant = weights_variant(folder / part, "diffusion_pytorch_model.safetensors")
            model = cls.from_pretrained(
                folder / part, torch_dtype=dtype, use_safetensors=True, local_files_only=True, variant=variant
            )
        except Exception as error:  # diffusers raises anything from OSError to safetensors' own errors
            raise EditError(f"{folder / part} cannot be read as {cls.__name__}: {str(error)[:200]}") from error
        loaded.append(model.to(device).eval())
    unet, vae = loaded
    channels, latent = unet.config.in_channels, vae.config.latent_channels
    if channels != latent:
        raise EditError(
            f"the UNet in {folder} takes {channels} channels, its VAE gives {latent}: a model for inpainting or for "
            "instruct-pix2pix; remedy: a plain base of the SD 1.5 family, or method instruct-pix2pix"
        )
    return Base(folder=folder, unet=unet, vae=vae, device=device, dtype=dtype)
