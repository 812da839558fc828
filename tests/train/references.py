"""The loss terms once more, in float64 and in plain loops, as the equations are written; slow and easy to check."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import ot

Array = npt.NDArray[np.float64]


def info_nce(images: Array, texts: Array, scale: float, smoothing: float = 0.0) -> float:
    """Symmetric InfoNCE, mean over samples; ``smoothing`` of each label is spread over all."""
    logits, count = scale * images @ texts.T, len(images)

    def of(row: Array, label: int) -> float:
        shares = [smoothing / count + (1 - smoothing) * (other == label) for other in range(count)]
        return sum(share * _surprise(row, other) for other, share in enumerate(shares))

    return float(np.mean([(of(logits[i], i) + of(logits[:, i], i)) / 2 for i in range(count)]))


def rebuild(images: Array, components: int) -> Array:
    """From the mean and the first right singular vectors."""
    mean = images.mean(axis=0)
    _, _, rows = np.linalg.svd(images - mean)
    return np.asarray((images - mean) @ rows[:components].T @ rows[:components] + mean)


def fine_grained_by_cosines(patches: Array, stimuli: Array, present: npt.NDArray[np.bool_], scale: float) -> float:
    """Patches weighed by their cosines; negatives: the stimuli of all images."""
    kept, grouped = [], []
    for image, texts, here in zip(patches, stimuli, present, strict=True):
        for text in texts[here]:
            vector = sum(float(text @ patch) * patch for patch in image)
            kept.append(text)
            grouped.append(vector / np.linalg.norm(vector))
    logits = scale * np.array(grouped) @ np.array(kept).T
    return float(np.mean([(_surprise(logits[j], j) + _surprise(logits[:, j], j)) / 2 for j in range(len(kept))]))


def fine_grained(patches: Array, stimuli: Array, present: npt.NDArray[np.bool_], scale: float, tau_a: float) -> float:
    """Negatives: the other stimuli of the same image."""
    losses = []
    for image, texts, here in zip(patches, stimuli, present, strict=True):
        kept = texts[here]
        if not len(kept):
            continue
        similarity = kept @ image.T
        attention = np.exp(similarity / tau_a) / np.exp(similarity / tau_a).sum(axis=0)
        attention /= attention.sum(axis=1, keepdims=True)
        grouped = attention @ image
        grouped /= np.linalg.norm(grouped, axis=1, keepdims=True)
        logits = scale * grouped @ kept.T
        losses += [(_surprise(logits[j], j) + _surprise(logits[:, j], j)) / 2 for j in range(len(kept))]
    return float(np.mean(losses))


def optimal_transport(
    patches: Array, stimuli: Array, present: npt.NDArray[np.bool_], scale: float, epsilon: float
) -> float:
    """Plans by POT's Sinkhorn, run far beyond the precision that ours stops at."""
    columns = [k for k in range(len(stimuli)) if present[k].any()]
    losses = []
    for i in columns:
        logits = []
        for k in columns:
            similarity = patches[i] @ stimuli[k][present[k]].T
            logits.append(scale * float((plan(similarity, epsilon) * similarity).sum()))
        losses.append(_surprise(logits, columns.index(i)))
    return float(np.mean(losses))


def plan(similarity: Array, epsilon: float) -> Array:
    """[M, J] transport plan of the cost 1 - similarity between uniform marginals."""
    rows, columns = similarity.shape
    return np.asarray(
        ot.sinkhorn(
            np.full(rows, 1 / rows),
            np.full(columns, 1 / columns),
            1 - similarity,
            epsilon,
            stopThr=1e-13,
            numItermax=9999,
        )
    )


def _surprise(logits: Sequence[float] | Array, label: int) -> float:
    top = max(logits)
    return float(top + math.log(sum(math.exp(value - top) for value in logits)) - logits[label])
