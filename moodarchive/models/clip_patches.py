"""A vision tower's image and its patches, both in the joint space of picture and text."""

from functools import partial
from typing import Any


def image_alone(visual: Any, pixels: Any) -> Any:
    """[n, D] of open_clip's vision tower and [n, 3, H, W] pixels, not normalised: what ``visual(pixels)`` gives.

    A ViT's image is its class token alone, so in the last block only that one asks and passes the MLP.
    """
    if not _reads_class_token(visual):
        return visual(pixels)
    *blocks, last = visual.transformer.resblocks
    tokens = visual._embeds(pixels)
    apply = _checkpointed if visual.transformer.grad_checkpointing else _called
    for block in blocks:
        tokens = apply(block, tokens)
    pooled = visual.ln_post(apply(partial(_class_token_of, last), tokens))
    return pooled if visual.proj is None else pooled @ visual.proj


def _reads_class_token(visual: Any) -> bool:
    """Whether the tower is a plain ViT, whose image is its class token."""
    plain = hasattr(visual, "_embeds") and visual.attn_pool is None and visual.pool_type == "tok"
    if not plain or not visual.transformer.batch_first:
        return False
    last = visual.transformer.resblocks[-1]
    return type(last).__name__ == "ResidualAttentionBlock" and not hasattr(last, "ln_1_kv")


def _called(block: Any, tokens: Any) -> Any:
    return block(tokens)


def _checkpointed(block: Any, tokens: Any) -> Any:
    from torch.utils.checkpoint import checkpoint

    return checkpoint(block, tokens, use_reentrant=False)


def _class_token_of(block: Any, tokens: Any) -> Any:
    """[n, W] of [n, tokens, W]: a block's class token, which attends to all tokens."""
    normed, token = block.ln_1(tokens), tokens[:, :1]
    token = token + block.ls_1(block.attention(normed[:, :1], normed, normed))
    return (token + block.ls_2(block.mlp(block.ln_2(token))))[:, 0]


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
