"""How a class becomes the text that zero-shot classification compares pictures with."""

from collections.abc import Sequence

import numpy as np

from moodarchive.models.clip import ClipEncoder, Embeddings

TEMPLATES = ("an image that evokes {}", "a photo that evokes {}", "a picture full of {}", "a scene of {}", "{}")
"""Ours: the paper names none."""


def class_embeddings(encoder: ClipEncoder, classes: Sequence[str]) -> Embeddings:
    """[classes, D]: each class's templates, averaged and of length 1."""
    prompts = [template.format(name) for name in classes for template in TEMPLATES]
    means = encoder.texts(prompts).reshape(len(classes), len(TEMPLATES), -1).mean(axis=1)
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), dtype=np.float32)
