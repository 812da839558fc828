"""A UNet that also sees the source picture: its first layer takes four more channels, as InstructPix2Pix's does."""

from typing import Any

import torch
from torch import nn

from moodarchive.errors import EditError


def widen_unet(unet: Any) -> Any:
    """The UNet with in_channels doubled, in place; the new weights are zero, so that it predicts what it did before.

    One that is wide already stays as it is; EditError for any other number of channels.
    """
    plain = int(unet.config.out_channels)
    channels = int(unet.config.in_channels)
    if channels == 2 * plain:
        return unet
    if channels != plain:
        raise EditError(
            f"the UNet takes {channels} channels; remedy: one of {plain} (a plain base of the SD 1.5 family), or of "
            f"{2 * plain} (one tuned for instruct-pix2pix)"
        )
    old: nn.Conv2d = unet.conv_in
    new = nn.Conv2d(2 * plain, old.out_channels, old.kernel_size, old.stride, old.padding)  # type: ignore[arg-type]
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, :plain] = old.weight
        assert old.bias is not None and new.bias is not None
        new.bias.copy_(old.bias)
    unet.conv_in = new.to(old.weight)
    unet.register_to_config(in_channels=2 * plain)
    return unet
