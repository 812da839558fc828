"""PER's loss of a step: the error of the predicted noise, and how far the predicted edit's pixels are from the source.

L = mean (eps - U)² + 0.3 · abar_t · mean (o - D(z0^))², z0^ = (z_t - sqrt(1 - abar_t) U) / sqrt(abar_t), equation 7 of
arXiv 2602.18016; that the second term is weighed by abar_t is ours: from much noise no picture can be told.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from moodarchive.diffusion.retaining import Retaining, predict_noise
from train.diffusion.denoiser import KeptStates, open_levels
from train.diffusion.pictures import generator_of_step, rows_of_step, to_signed
from train.epem.model import Frozen
from train.epem.records import Records
from train.epem.settings import EpemSettings


class EpemLoss:
    """A function of the step alone; ``terms`` holds the parts of the last one."""

    def __init__(
        self,
        *,
        retaining: Retaining,
        frozen: Frozen,
        records: Records,
        latents: npt.NDArray[np.float32],
        settings: EpemSettings,
        precision: torch.autocast,
    ) -> None:
        """``latents`` are ``encode_pairs``'."""
        self._retaining, self._frozen, self._records, self._settings = retaining, frozen, records, settings
        self._latents, self._precision = latents, precision
        self._texts = KeptStates(frozen.text)
        self._scale = float(frozen.vae.config.scaling_factor)
        self._abar = open_levels(frozen.base / "scheduler")
        self.terms: dict[str, float] = {}

    def __call__(self, step: int) -> Tensor:
        """A scalar."""
        settings, frozen, records = self._settings, self._frozen, self._records
        draw = generator_of_step(step, settings.seed)
        rows = rows_of_step(step, settings.schedule.batch, len(records), settings.seed)
        device = next(self._retaining.parameters()).device
        moments = torch.from_numpy(np.stack([self._latents[row] for row in rows]))
        source, target = moments[:, 0], moments[:, 1]  # each mean and deviation, [B, 2, 4, h, w]
        kept = torch.rand(len(rows), generator=draw) >= settings.unprompted
        clean = self._scale * (target[:, 0] + target[:, 1] * torch.randn(target[:, 0].shape, generator=draw))
        noise = torch.randn(clean.shape, generator=draw).to(device)
        times = torch.randint(len(self._abar), (len(rows),), generator=draw)
        abar = self._abar[times][:, None, None, None].to(device)
        noisy = abar.sqrt() * clean.to(device) + (1 - abar).sqrt() * noise
        pictures = records.pixels("source", rows)
        instructions = [records.instructions[row] if keep else "" for row, keep in zip(rows, kept, strict=True)]
        texts = [
            f"{x} {records.captions[row]}" if keep else ""
            for x, row, keep in zip(instructions, rows, kept, strict=True)
        ]
        with self._precision:
            condition = self._retaining(
                seen=frozen.vision(pictures),
                image=source[:, 0].to(device),
                words=frozen.reader(instructions),
                text=self._texts(texts).to(device),
                kept=kept,
            )
            predicted = predict_noise(frozen.unet, noisy, source[:, 0].to(device), times.to(device), condition)
        predicted = predicted.float()
        error = nn.functional.mse_loss(predicted, noise)
        self.terms = {"noise": float(error.detach())}
        if not settings.pixel_weight:
            return error
        edit = (noisy - (1 - abar).sqrt() * predicted) / abar.sqrt()
        with self._precision:
            decoded = frozen.vae.decode(edit / self._scale).sample
        distance = (decoded.float() - to_signed(pictures).to(device)).square().mean(dim=(1, 2, 3))
        pixels: Tensor = (abar.flatten() * distance).mean()
        self.terms |= {"pixels": float(pixels.detach())}
        total: Tensor = error + settings.pixel_weight * pixels
        return total
