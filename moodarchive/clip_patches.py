"""A ViT's image and its patches, both in the joint space of picture and text."""

from typing import Any


def image_and_patches(visual: Any, pixels: Any) -> tuple[Any, Any]:
    """[n, D] and [n, M, D] of open_clip's vision tower and [n, 3, H, W] pixels, neither normalised.

    The patches are the last layer's tokens, normed and projected as the image is.
    """
    visual.output_tokens = True
    try:
        pooled, tokens = visual(pixels)
    finally:
        visual.output_tokens = False
    return pooled, tokens if visual.proj is None else tokens @ visual.proj
