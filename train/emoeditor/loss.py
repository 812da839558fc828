"""The loss of a step: the error of the predicted noise, and how far the emotion's states are from the instruction's.

L = mean (eps - U)² + 0.5 · mean_b (1 - cos(vec T_b, vec M(e_b))), arXiv 2403.08255.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from moodarchive.diffusion.emotion import direction, embedding_loss, onehot
from train.diffusion.denoiser import KeptStates, open_levels
from train.diffusion.pictures import generator_of_step, rows_of_step
from train.emoeditor.model import EmoEditorModel, Frozen
from train.emoeditor.pairs import Pairs
from train.emoeditor.settings import EmoEditorSettings


class EmoEditorLoss:
    """A function of the step alone; ``terms`` holds the parts of the last one."""

    def __init__(
        self,
        *,
        model: EmoEditorModel,
        frozen: Frozen,
        pairs: Pairs,
        latents: npt.NDArray[np.float32],
        settings: EmoEditorSettings,
        distributions: Tensor,
        precision: torch.autocast,
    ) -> None:
        """``latents`` are ``encode_pairs``'; ``distributions`` [N, 8] are the sources'."""
        self._model, self._pairs, self._latents, self._settings = model, pairs, latents, settings
        self._distributions, self._precision = distributions, precision
        self._texts = KeptStates(frozen.text)
        self._scale = float(frozen.vae.config.scaling_factor)
        self._abar = open_levels(frozen.base / "scheduler")
        self.terms: dict[str, float] = {}

    def __call__(self, step: int) -> Tensor:
        """A scalar."""
        settings, draw = self._settings, generator_of_step(step, self._settings.seed)
        rows = rows_of_step(step, settings.schedule.batch, len(self._pairs), settings.seed)
        device = next(self._model.parameters()).device
        is_identity = torch.rand(len(rows), generator=draw) < settings.identity
        moments = torch.from_numpy(np.stack([self._latents[row] for row in rows]))
        source, target = moments[:, 0], moments[:, 1]  # each mean and deviation, [B, 2, 4, h, w]
        chosen = torch.where(is_identity[:, None, None, None, None], source, target)
        clean = self._scale * (chosen[:, 0] + chosen[:, 1] * torch.randn(chosen[:, 0].shape, generator=draw))
        noise = torch.randn(clean.shape, generator=draw)
        times = torch.randint(len(self._abar), (len(rows),), generator=draw)
        abar = self._abar[times][:, None, None, None]
        noisy = abar.sqrt() * clean + (1 - abar).sqrt() * noise
        emotions = self._emotions(rows, is_identity).to(device)
        # drawn last: no other number of a step depends on the share
        without_words = is_identity | (torch.rand(len(rows), generator=draw) < settings.unprompted)
        prompts = ["" if blank else self._pairs.prompts[row] for row, blank in zip(rows, without_words, strict=True)]
        texts = self._texts(prompts).to(device)
        with self._precision:
            states = texts if settings.condition == "text" else self._model.encoder(emotions)
            predicted = self._model(noisy.to(device), source[:, 0].to(device), times.to(device), states)
        error = nn.functional.mse_loss(predicted.float(), noise.to(device))
        self.terms = {"noise": float(error.detach())}
        learns = ~is_identity.to(device)
        if settings.condition == "text" or not learns.any():
            return error
        alignment = embedding_loss(texts[learns], states[learns].float())
        self.terms |= {"alignment": float(alignment.detach()), "margin": self._margin(rows, texts, states, learns)}
        return error + settings.embedding_weight * alignment

    def _emotions(self, rows: list[int], is_identity: Tensor) -> Tensor:
        """The encoder's input [B, 8]; an identity row's direction is zero, its target its own likeliest class."""
        own = self._distributions[rows]
        targets = torch.tensor([self._pairs.targets[row] for row in rows])
        targets = torch.where(is_identity, own.argmax(1), targets)
        if self._settings.condition == "onehot":
            return onehot(targets)
        return direction(targets, own) * (~is_identity)[:, None]

    @torch.no_grad()
    def _margin(self, rows: list[int], texts: Tensor, states: Tensor, learns: Tensor) -> float:
        """How much nearer the states are to the own instruction than to the nearest one of another class in the batch.

        A low alignment loss alone proves little: most of the text's rows are padding, alike in all instructions.
        """
        given, made = (nn.functional.normalize(each[learns].float().flatten(1), dim=1) for each in (texts, states))
        classes = torch.tensor([self._pairs.targets[row] for row in rows], device=learns.device)[learns]
        cosines = made @ given.T
        others = cosines.masked_fill(classes[:, None] == classes[None], -1).amax(1)
        return float((cosines.diagonal() - others)[others > -1].mean()) if (others > -1).any() else 0.0
