"""Pictures as the model works on them: their working size, and their way to pixels and back."""

from math import sqrt

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def working_size(size: tuple[int, int], side: int, multiple: int) -> tuple[int, int]:
    """(width, height) near side x side pixels in all, in the picture's proportions, both multiples of ``multiple``."""
    width, height = size
    scale = side / sqrt(width * height)
    return (
        max(1, round(width * scale / multiple)) * multiple,
        max(1, round(height * scale / multiple)) * multiple,
    )


def resized_to(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture at another size; the very same when it has that already."""
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def to_pixels(image: Image.Image) -> Tensor:
    """float32 [1, 3, height, width] in [-1, 1]."""
    values = np.asarray(image, dtype=np.float32) / 127.5 - 1
    return torch.from_numpy(values).permute(2, 0, 1)[None].contiguous()


def to_bytes(pixels: Tensor) -> Tensor:
    """uint8 [height, width, 3] on the same device, of [3, height, width] in [-1, 1]; what lies outside is clipped."""
    return ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0)


def to_image(values: Tensor) -> Image.Image:
    """An RGB picture of ``to_bytes``."""
    return Image.fromarray(np.ascontiguousarray(values.cpu().numpy()))
