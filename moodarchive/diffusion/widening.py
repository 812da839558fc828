"""A UNet that also sees the source picture: its first layer takes four more channels, as InstructPix2Pix's does."""

from typing import Any

import torch
from torch import Tensor, nn

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


class WidenedInput(nn.Module):
    """A first layer that keeps its weights while new channels learn: old(first channels) + new(the others).

    The same numbers as one layer of all channels; here the old weights cannot move, and a checkpoint holds the new.
    """

    def __init__(self, old: nn.Conv2d, new: nn.Conv2d) -> None:
        super().__init__()
        if old.kernel_size != new.kernel_size or old.padding != new.padding or old.out_channels != new.out_channels:
            raise EditError(
                f"the UNet's first layer gives {old.out_channels} channels by a kernel of {old.kernel_size}, the new "
                f"one {new.out_channels} by {new.kernel_size}; remedy: the base that the adapter was trained on"
            )
        self.old, self.new = old, new

    def forward(self, stacked: Tensor) -> Tensor:
        """Of [B, old + new channels, h, w]."""
        first = self.old.in_channels
        both: Tensor = self.old(stacked[:, :first]) + self.new(stacked[:, first:])
        return both
