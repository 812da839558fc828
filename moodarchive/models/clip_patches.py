"""A vision tower's image and its patches, both in the joint space of picture and text."""

from typing import Any


def image_and_patches(visual: Any, pixels: Any) -> tuple[Any, Any]:
    """[n, D] and [n, M, D] of open_clip's vision tower and [n, 3, H, W] pixels, neither normalised.

    Of a ViT the patches are the last layer's tokens, normed and projected as the image is; of a ResNet what its
    attention pool would give if it attended to one place alone.
    """
    if hasattr(visual, "attnpool"):
        return _pooled_and_values(visual, pixels)
    visual.output_tokens = True
    try:
        pooled, tokens = visual(pixels)
    finally:
        visual.output_tokens = False
    return pooled, tokens if visual.proj is None else tokens @ visual.proj


def _pooled_and_values(visual: Any, pixels: Any) -> tuple[Any, Any]:
    features = visual.stem(pixels)
    for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        features = layer(features)
    pool = visual.attnpool
    positions = features.flatten(2).mT + pool.positional_embedding[1:].to(pixels.dtype)
    return pool(features), pool.c_proj(pool.v_proj(positions))
