"""Floating-point operations of a step, from the towers' shapes, and the share of a GPU's peak that they are (MFU)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

_PEAKS = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "RTX 4090": 165e12,
}
"""Dense bf16 operations a second by a part of the device's name, as their makers' data sheets say."""


def peak(device: torch.device, *, bf16: bool) -> float | None:
    """Of the device; None where it is not known, or the step does not run in bf16."""
    if device.type != "cuda" or not bf16:
        return None
    name = torch.cuda.get_device_name(device)
    # the PCIe card of this name is another, slower one
    return next((value for part, value in _PEAKS.items() if part in name and name != "NVIDIA H100 PCIe"), None)


def step_flops(config: Mapping[str, Any], images: int, runs: Sequence[tuple[int, int]], *, fine: bool) -> float | None:
    """Forward and backward of one step's towers; a multiply-add is two.

    ``config`` is open_clip's, ``runs`` how many texts have which length (``Texts.runs``), ``fine`` whether patches
    are projected too. Losses, norms and activations are left out, and so is what is computed again to save memory. None
    for a ResNet, of which nothing is known here.
    """
    vision, text, joint = config["vision_cfg"], config["text_cfg"], config["embed_dim"]
    if not isinstance(vision["layers"], int):
        return None
    width, patch = vision["width"], vision["patch_size"]
    patches = (vision["image_size"] // patch) ** 2
    pixels = 2 * 3 * patch**2 * width * patches
    forward = images * (
        pixels
        + _tower(vision["layers"], width, vision.get("mlp_ratio", 4.0), patches + 1, last=patches + 1 if fine else 1)
        + 2 * width * joint * (1 + patches * fine)
    )
    for rows, length in runs:
        forward += rows * (
            _tower(text["layers"], text["width"], text.get("mlp_ratio", 4.0), length, last=1)
            + 2 * text["width"] * joint
        )
    # the backward pass does each product twice, but for the pixels, which need no gradient
    return float(3 * forward - images * pixels)


def _tower(layers: int, width: int, mlp_ratio: float, tokens: int, *, last: int) -> float:
    """Forward, of one row, of whose last block so many tokens are read: projections, attention, MLP."""
    keys_and_values, rest = 4 * width**2, 4 * width**2 + 4 * width * int(mlp_ratio * width)

    def block(asking: int) -> float:
        return keys_and_values * tokens + rest * asking + 4 * tokens * asking * width

    return (layers - 1) * block(tokens) + block(last)
