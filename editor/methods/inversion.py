"""Inversion-free editing, written from the equations of denoising diffusion consistent models (DDCM), eta = 1.

The source branch always knows its clean latent x0, so nothing has to be inverted: its noisy latent is drawn, and what
the model gets wrong about the source at a step is subtracted from what it says about the target. Tensors are float32
[B, C, h, w]; ``abar`` is the scheduler's cumulative product at the step's t.
"""

from math import sqrt

from torch import Tensor


def noised(clean: Tensor, noise: Tensor, abar: float) -> Tensor:
    """z = sqrt(abar) x0 + sqrt(1 - abar) n; both branches get the same n."""
    return sqrt(abar) * clean + sqrt(1 - abar) * noise


def target_clean(
    *, clean: Tensor, source: Tensor, target: Tensor, source_noise: Tensor, target_noise: Tensor, abar: float
) -> Tensor:
    """x0_tgt = x0 + [(z_t - z_s) - sqrt(1 - abar) (eps_tgt - eps_src)] / sqrt(abar).

    The same as the clean latent predicted from z_t with the noise eps_tgt - eps_src + eps_c, where eps_c, which is
    (z_s - sqrt(abar) x0) / sqrt(1 - abar), leads the source's step to x0; so written, equal branches give x0 exactly.
    """
    return clean + ((target - source) - sqrt(1 - abar) * (target_noise - source_noise)) / sqrt(abar)


def guided(empty: Tensor, told: Tensor, guidance: float) -> Tensor:
    """Classifier-free guidance: from the empty prompt's prediction towards the prompt's and beyond."""
    return empty + guidance * (told - empty)


def blended(source: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """(1 - w) source + w target; exactly one of the two where w is 0 or 1."""
    return (1 - weights) * source + weights * target


def refines(t: int, steps: int, tau_c: float) -> bool:
    """Whether equation 6 refines attention at t, which falls from ``steps`` to 1: t ≥ tau_c T."""
    return t >= tau_c * steps
