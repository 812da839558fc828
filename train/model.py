"""MoodifyCLIP: open_clip's towers with long texts, patches in the joint space, and texts no longer than they are."""

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from moodarchive.errors import ConfigError
from moodarchive.long_text import KEPT_POSITIONS


class Batch(NamedTuple):
    """n samples as tensors. Texts are token ids, zero-padded to the longest of their kind in the batch."""

    pixels: Tensor
    """[n, 3, H, W]"""
    full: Tensor
    """[n, l]: all five sentences"""
    short: Tensor
    """[n, l]: summary and assessment"""
    stimuli: Tensor
    """[n, 3, l]"""
    present: Tensor
    """[n, 3], False where a caption has fewer stimuli"""


class Embeddings(NamedTuple):
    """What the losses compare; unit vectors of the joint space, D wide."""

    images: Tensor
    """[n, D]"""
    patches: Tensor
    """[n, M, D]"""
    full: Tensor
    """[n, D]"""
    short: Tensor
    """[n, D]"""
    stimuli: Tensor
    """[n, 3, D]"""
    scale: Tensor
    """exp(logit_scale), a scalar"""


class MoodifyClip(nn.Module):
    """Wraps an open_clip CLIP; its parameters are ``clip``'s own."""

    def __init__(self, clip: Any) -> None:
        super().__init__()
        if not all(hasattr(clip, name) for name in ("token_embedding", "positional_embedding", "transformer")):
            raise ConfigError(
                f"{type(clip).__name__} keeps its text tower apart; remedy: name one of open_clip's CLIP architectures "
                "(ViT-B-16-quickgelu, ViT-L-14-quickgelu, …) as model.name"
            )
        self.clip = clip
        # the first positions stay as pretrained; the hook keeps gradient and weight decay's grip off them
        clip.positional_embedding.register_hook(_without_kept_positions)

    def forward(self, batch: Batch) -> Embeddings:
        """All embeddings of a batch."""
        images, patches = self.images(batch.pixels)
        return Embeddings(
            images=images,
            patches=patches,
            full=self.texts(batch.full),
            short=self.texts(batch.short),
            stimuli=self.texts(batch.stimuli.flatten(0, 1)).reshape(*batch.present.shape, -1),
            scale=self.clip.logit_scale.exp(),
        )

    def images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """[n, D] images and [n, M, D] patches: the last layer's tokens, normed and projected as the image is."""
        visual = self.clip.visual
        if hasattr(visual, "attnpool"):
            pooled, patches = _pooled_and_values(visual, pixels)
        else:
            visual.output_tokens = True
            try:
                pooled, tokens = visual(pixels)
            finally:
                visual.output_tokens = False
            patches = tokens if visual.proj is None else tokens @ visual.proj
        return functional.normalize(pooled, dim=-1), functional.normalize(patches, dim=-1)

    def texts(self, tokens: Tensor) -> Tensor:
        """[n, D] of [n, l] token ids, l at most the context: attention runs over l positions, not over the context."""
        clip = self.clip
        length = tokens.shape[1]
        found = clip.token_embedding(tokens) + clip.positional_embedding[:length]
        found = clip.ln_final(clip.transformer(found, attn_mask=clip.attn_mask[:length, :length]))
        # the end-of-text mark has the largest id, and nothing after it is seen
        pooled = found[torch.arange(len(tokens), device=tokens.device), tokens.argmax(dim=-1)]
        projection = clip.text_projection
        projected = projection(pooled) if isinstance(projection, nn.Linear) else pooled @ projection
        return functional.normalize(projected, dim=-1)


def _without_kept_positions(gradient: Tensor) -> Tensor:
    changed = gradient.clone()
    changed[:KEPT_POSITIONS] = 0
    return changed


def _pooled_and_values(visual: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """A ResNet's image and patches: what its attention pool would give if it attended to one place alone."""
    found = visual.stem(pixels)
    for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        found = layer(found)
    pool = visual.attnpool
    places = found.flatten(2).mT + pool.positional_embedding[1:]
    return cast(Tensor, pool(found)), cast(Tensor, pool.c_proj(pool.v_proj(places)))
