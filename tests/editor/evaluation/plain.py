"""The published definitions once more, in plain NumPy: slow, short, and without the code under test."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def mse(one: Array, other: Array) -> float:
    return float(np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2))


def psnr(one: Array, other: Array) -> float:
    return float(10 * np.log10(1.0 / mse(one, other)))


def ssim(one: Array, other: Array) -> float:
    """Of [H, W, 3] in [0, 1]: a Gaussian window of sigma 1.5 and 11 pixels, borders mirrored."""
    axis = np.arange(11) - 5
    line = np.exp(-(axis**2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    found = []
    for channel in range(3):
        x, y = (np.pad(each[..., channel].astype(np.float64), 5, mode="reflect") for each in (one, other))
        mx, my = _windowed(window, x), _windowed(window, y)
        vx, vy, cov = (
            _windowed(window, x * x) - mx * mx,
            _windowed(window, y * y) - my * my,
            _windowed(window, x * y) - mx * my,
        )
        c1, c2 = 0.01**2, 0.03**2
        found.append(((2 * mx * my + c1) * (2 * cov + c2)) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return float(np.mean(found))


def _windowed(window: Array, plane: Array) -> Array:
    high, wide = plane.shape[0] - 10, plane.shape[1] - 10
    parts = [window[i, j] * plane[i : i + high, j : j + wide] for i in range(11) for j in range(11)]
    return np.asarray(sum(parts))


def keys_of_layer(state: Mapping[str, Array], pixels: Array, *, layer: int, heads: int, patch: int) -> Array:
    """The keys [tokens, width] of a vision transformer's layer; ``pixels`` [3, S, S] are normalised already."""
    width = state["embeddings.cls_token"].shape[-1]
    across = pixels.shape[1] // patch
    blocks = pixels.reshape(3, across, patch, across, patch).transpose(1, 3, 0, 2, 4).reshape(across * across, -1)
    kernel = state["embeddings.patch_embeddings.projection.weight"].reshape(width, -1)
    tokens = blocks @ kernel.T + state["embeddings.patch_embeddings.projection.bias"]
    x = np.concatenate([state["embeddings.cls_token"][0], tokens]) + state["embeddings.position_embeddings"][0]
    for number in range(layer + 1):
        of = {name.split(f"layers.{number}.")[1]: each for name, each in state.items() if f"layers.{number}." in name}
        inner = _norm(x, of["layernorm_before.weight"], of["layernorm_before.bias"])
        q, k, v = (
            inner @ of[f"attention.{part}_proj.weight"].T + of[f"attention.{part}_proj.bias"]
            for part in ("q", "k", "v")
        )
        if number == layer:
            return np.asarray(k)
        size = width // heads
        mixed = []
        for head in range(heads):
            at = slice(head * size, (head + 1) * size)
            logits = q[:, at] @ k[:, at].T / np.sqrt(size)
            weights = np.exp(logits - logits.max(axis=1, keepdims=True))
            mixed.append(weights / weights.sum(axis=1, keepdims=True) @ v[:, at])
        x = x + np.concatenate(mixed, axis=1) @ of["attention.o_proj.weight"].T + of["attention.o_proj.bias"]
        inner = _norm(x, of["layernorm_after.weight"], of["layernorm_after.bias"])
        inner = _gelu(inner @ of["mlp.fc1.weight"].T + of["mlp.fc1.bias"])
        x = x + inner @ of["mlp.fc2.weight"].T + of["mlp.fc2.bias"]
    raise AssertionError("no such layer")


def self_similarity(keys: Array) -> Array:
    unit = keys / np.linalg.norm(keys, axis=1, keepdims=True)
    return np.asarray(unit @ unit.T)


def grad_cam(maps: Array, weights: Array) -> Array:
    """Of feature maps [C, h, w] and one weight a channel: relu of the sum, stretched to [0, 1]; not enlarged."""
    heat = np.maximum(np.einsum("c,chw->hw", weights, maps), 0)
    heat = heat - heat.min()
    return np.asarray(heat / heat.max())


def _norm(x: Array, weight: Array, bias: Array) -> Array:
    mean, spread = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return np.asarray((x - mean) / np.sqrt(spread + 1e-12) * weight + bias)


def _gelu(x: Array) -> Array:
    from math import erf

    return np.asarray(x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2))))
