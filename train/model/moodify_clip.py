"""MoodifyCLIP: open_clip's towers with long texts, patches in the joint space, and texts packed without padding."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from moodarchive.errors import ConfigError
from moodarchive.models.clip_patches import image_alone, image_and_patches
from moodarchive.models.long_text import KEPT_POSITIONS, PLAIN_CONTEXT
from train.data.batch import ALL_TEXTS, Batch, Reads
from train.data.texts import Texts
from train.model.packed_text import PackedTower


class Embeddings(NamedTuple):
    """What the losses compare; unit vectors of the joint space, D wide. What no loss reads has no rows."""

    images: Tensor
    """[n, D]"""
    patches: Tensor
    """[n, M, D]"""
    full: Tensor
    """[n, D]"""
    short: Tensor
    """[n, D]"""
    stimuli: Tensor
    """[n, J, D]"""
    scale: Tensor
    """exp(logit_scale), a scalar"""


class MoodifyClip(nn.Module):
    """Wraps an open_clip CLIP; its parameters are ``clip``'s own."""

    mean: Tensor
    std: Tensor

    def __init__(self, clip: Any, preprocess: Mapping[str, Any], reads: Reads = ALL_TEXTS) -> None:
        """``preprocess`` gives mean and std of pixels from 0 to 1."""
        super().__init__()
        if not all(hasattr(clip, name) for name in ("token_embedding", "positional_embedding", "transformer")):
            raise ConfigError(
                f"{type(clip).__name__} keeps its text tower apart; remedy: name one of open_clip's CLIP architectures "
                "(ViT-B-16-quickgelu, ViT-L-14-quickgelu, …) as model.name"
            )
        self.clip, self.reads = clip, reads
        self.text_tower = PackedTower(clip.transformer, clip.context_length)
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(preprocess[name])[:, None, None], persistent=False)
        if clip.context_length > PLAIN_CONTEXT:
            # of a stretched table the first positions stay as pretrained; the hook keeps their gradient at zero
            clip.positional_embedding.register_hook(_without_kept_positions)

    def forward(self, batch: Batch) -> Embeddings:
        """All embeddings of a batch that a loss reads."""
        n, reads = len(batch.pixels), self.reads
        pixels = batch.pixels.permute(0, 3, 1, 2).contiguous()
        images, patches = self.images(pixels.to(self.mean.dtype).div_(255).sub_(self.mean).div_(self.std))
        counts = [n, n * reads.short_texts, n * reads.fine_texts]
        full, short, stimuli = torch.split(self.texts(batch.texts), counts)
        stimuli = stimuli.reshape(n, reads.parts, -1) if reads.fine else stimuli
        if reads.short and reads.apart:
            ends = short.reshape(n, 2, -1) if reads.short_texts else stimuli[:, [0, -1]]
            short = functional.normalize(ends.sum(1), dim=-1)
        return Embeddings(
            images=images,
            patches=patches,
            full=full,
            short=short,
            stimuli=stimuli,
            scale=self.clip.logit_scale.exp(),
        )

    def images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """[n, D] images and [n, M, D] patches: the last layer's tokens, normed and projected as the image is."""
        visual = self.clip.visual
        if not self.reads.fine:
            return functional.normalize(image_alone(visual, pixels), dim=-1), pixels.new_empty(0)
        pooled, patches = image_and_patches(visual, pixels)
        return functional.normalize(pooled, dim=-1), functional.normalize(patches, dim=-1)

    def texts(self, texts: Texts) -> Tensor:
        """[texts, D] in the order in which they were given; the last token of each stands for it."""
        clip = self.clip
        embedded = clip.token_embedding(texts.tokens) + functional.embedding(texts.positions, clip.positional_embedding)
        normed = clip.ln_final(self.text_tower(embedded, texts)[texts.ranks])
        projection = clip.text_projection
        projected = projection(normed) if isinstance(projection, nn.Linear) else normed @ projection
        return functional.normalize(projected, dim=-1)


def _without_kept_positions(gradient: Tensor) -> Tensor:
    changed = gradient.clone()
    changed[:KEPT_POSITIONS] = 0
    return changed
