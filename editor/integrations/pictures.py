"""Pictures and masks as other programs hold them, and as the editor takes them."""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from editor.edit import Mask
from editor.pictures import SourcePicture, refuse_shape
from moodarchive.errors import PictureError


def picture_of_image(image: Image.Image) -> SourcePicture:
    """A picture that comes from no file: what names it in the record is the sha256 of its size and pixels.

    Metadata are left behind, transparency becomes white. PictureError for what the editor does not take.
    """
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), layers)
    return picture_of_pixels(np.asarray(image.convert("RGB")))


def picture_of_values(values: Any) -> SourcePicture:
    """From [H, W, 3 or 4] floats in [0, 1], a tensor or an array; a fourth channel is left out."""
    pixels = np.asarray(getattr(values, "cpu", lambda: values)(), dtype=np.float32)
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        raise PictureError(f"a picture is [height, width, 3], this one is {list(pixels.shape)}")
    return picture_of_pixels((pixels[..., :3].clip(0, 1) * 255).round().astype(np.uint8))


def picture_of_pixels(pixels: npt.NDArray[np.uint8]) -> SourcePicture:
    """From [H, W, 3] bytes."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    refuse_shape(image, "the picture")
    digest = hashlib.sha256(f"{image.width}x{image.height}\0".encode() + image.tobytes())
    return SourcePicture(image=image, sha256=digest.hexdigest())


def values_of_image(image: Image.Image) -> npt.NDArray[np.float32]:
    """[H, W, 3] in [0, 1]; ``picture_of_values`` gives the same bytes back."""
    values: npt.NDArray[np.float32] = np.asarray(image.convert("RGB"), dtype=np.float32) / np.float32(255)
    return values


def mask_of_values(values: Any, size: tuple[int, int]) -> Mask | None:
    """[H, W] in [0, 1] at ``size`` (width, height) of a picture, an array or a tensor; None where nothing is marked."""
    if isinstance(values, Image.Image):
        values = np.asarray(values.convert("L"), np.float32) / np.float32(255)
    mask = np.asarray(getattr(values, "cpu", lambda: values)(), dtype=np.float32).squeeze()
    if mask.ndim != 2:
        raise PictureError(f"a mask is [height, width], this one is {list(mask.shape)}")
    mask = mask.clip(0, 1)
    if not mask.any():
        return None
    if mask.shape != (size[1], size[0]):
        if abs(mask.shape[1] * size[1] - mask.shape[0] * size[0]) > max(mask.shape[1] * size[1], 1) * 0.02:
            raise PictureError(
                f"the mask is {mask.shape[1]} x {mask.shape[0]}, the picture {size[0]} x {size[1]}; remedy: a mask of "
                "the picture's proportions"
            )
        mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.BOX))
    return np.ascontiguousarray(mask, dtype=np.float32)
