"""Moodifier's loop (algorithm 1), and plain inversion-free editing as the same loop without mask and control.

Written from the equations of denoising diffusion consistent models (DDCM), eta = 1. The source branch always knows its
clean latent x0, so nothing has to be inverted: its noisy latent is drawn, and what the model gets wrong about the
source at a step is subtracted from what it says about the target. Tensors are float32 [B, C, h, w]; ``abar`` is the
scheduler's cumulative product at the step's t.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from editor.edit import Edit, EditSettings, Progress, Stopped
from editor.methods.alignment import align
from editor.methods.attention import Control, take_control
from editor.methods.base import Base
from editor.methods.batches import Steps, batches
from editor.methods.canvas import resized_to, to_bytes, to_image, to_pixels
from editor.methods.masks import blend, layer_weights
from editor.methods.replay import Recorder, recorder_for, replay
from moodarchive.diffusion.parts import read_schedule
from moodarchive.diffusion.text import TextTower
from moodarchive.errors import EditError


@dataclass(frozen=True, kw_only=True)
class Level:
    """One step: ``t`` counts down from the settings' steps to 1, ``timestep`` is the model's own count."""

    t: int
    timestep: int
    abar: float


def noise_levels(folder: Path, steps: int, strength: float) -> list[Level]:
    """The noisiest first; ``strength`` below 1 leaves out the first ones. ``folder`` holds scheduler_config.json.

    A consistency model's scheduler is used as it is; for any other model DDIM's even spacing is, with its betas.
    """
    from diffusers import DDIMScheduler, LCMScheduler

    config = read_schedule(folder, "inversion-free editing")
    cls: Any = LCMScheduler if config.get("_class_name") == "LCMScheduler" else DDIMScheduler
    scheduler = cls.from_config(config)
    try:
        scheduler.set_timesteps(steps)
    except ValueError as error:
        raise EditError(f"steps = {steps}: this base cannot take as many: {error}") from None
    passed = [int(timestep) for timestep in scheduler.timesteps]
    all_levels = [
        Level(t=len(passed) - index, timestep=timestep, abar=float(scheduler.alphas_cumprod[timestep]))
        for index, timestep in enumerate(passed)
    ]
    if all_levels[0].abar <= 0:
        raise EditError(f"{folder}: the first step is pure noise (zero terminal SNR), from which no source can be kept")
    return all_levels[-max(1, ceil(strength * len(all_levels))) :]


def add_noise(clean: Tensor, noise: Tensor, abar: float) -> Tensor:
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


def guide(empty: Tensor, prompted: Tensor, guidance: float) -> Tensor:
    """Classifier-free guidance: from the empty prompt's prediction towards the prompt's and beyond."""
    return empty + guidance * (prompted - empty)


def refines(t: int, steps: int, tau_c: float) -> bool:
    """Whether equation 6 refines attention at t, which falls from ``steps`` to 1: t ≥ tau_c T."""
    return t >= tau_c * steps


def keeps_structure(t: int, steps: int, share: float) -> bool:
    """Whether the step at t, which falls from ``steps`` to 1, is one of the first ``share`` x ``steps``."""
    return steps - t + 1 <= share * steps + 1e-9


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step's noisy latents of both branches, and the target's clean latent after it; float32 [B, C, h, w]."""

    level: Level
    source: Tensor
    target: Tensor
    clean: Tensor


class InversionFree:
    """Inversion-free editing on a base of the SD 1.5 family.

    ``controlled`` makes it Moodifier: masks, attention control and, with source captions, prompt-to-prompt inside the
    masks. Without, it is the plain method, which changes the whole picture. The UNet's rows are blocks of B edits, one
    block a role: the source and the target, each with its unconditional prompt beside it where its guidance is not 1.
    ``record`` records the models' passes; by default what the settings and the device allow.
    """

    outcomes: Sequence[str] = ()

    def __init__(
        self,
        *,
        name: str,
        base: Base,
        text: TextTower,
        settings: EditSettings,
        controlled: bool,
        record: Recorder | None = None,
    ) -> None:
        self.name = name
        self._base, self._text, self._settings, self._controlled = base, text, settings, controlled
        self._acts = False
        self._levels = noise_levels(base.folder / "scheduler", settings.steps, settings.strength)
        self.control: Control = take_control(base.unet)
        recorder = recorder_for(base.device, settings.replay) if record is None else record
        self._predict = replay(self._pass, recorder)
        self._encode = replay(lambda inputs: base.encode(inputs["pixels"]), recorder)
        self._decode = replay(lambda inputs: base.decode(inputs["latent"]), recorder)
        self._states = replay(lambda inputs: text.states(inputs["ids"]), recorder)
        self._roles = ["source", "target"]
        self._roles += ["source_empty"] if settings.source_guidance != 1 else []
        self._roles += ["target_empty"] if settings.guidance != 1 else []
        for field in ("negative_prompt", "positive_prompt"):
            if cut := text.unread(getattr(settings, field)):
                raise EditError(f"{field} is longer than the text encoder reads; remedy: leave out its end, {cut!r}")

    def edit(self, edits: Sequence[Edit], progress: Progress, stopped: Stopped) -> list[Image.Image]:
        """See ``Method``; the same bytes for the same edits in the same order on the same machine.

        Among others an edit's last bits are others, because kernels choose their order of summation by the shapes. With
        ``batch`` = 1 it has the same bytes alone and among others.
        """
        planned = batches(edits, self._settings.size, self._base.cell * 2**self._base.depth, self._settings.batch)
        steps = Steps(total=len(planned) * len(self._levels), progress=progress, stopped=stopped)
        edited: dict[int, Image.Image] = {}
        for batch in planned:
            members = [edits[index] for index in batch.indices]
            steps.begin()
            clean = torch.empty(0)
            for step in self.steps(members, batch.size):
                clean = step.clean
                steps.end()
                if step.level.t > 1:
                    steps.begin()
            # one decode at a time, because this is where memory peaks; a GPU is waited for once all are under way
            decoded = [to_bytes(self._decode("decode", {"latent": latent[None]})[0]) for latent in clean]
            for index, member, values in zip(batch.indices, members, decoded, strict=True):
                edited[index] = resized_to(to_image(values), member.image.size)
        return [edited[index] for index in range(len(edits))]

    def unread(self, prompt: str) -> str:
        """See ``Method``."""
        return self._text.unread(prompt)

    def steps(self, edits: Sequence[Edit], size: tuple[int, int]) -> Iterator[Step]:
        """The loop of algorithm 1 over edits of one working size, (width, height)."""
        base = self._base
        latents: dict[int, Tensor] = {}  # the edits of one photo share its latent
        for edit in edits:
            if id(edit.image) not in latents:
                pixels = to_pixels(resized_to(edit.image, size)).to(base.device, base.dtype)
                latents[id(edit.image)] = self._encode("encode", {"pixels": pixels})
        clean = torch.cat([latents[id(edit.image)] for edit in edits])
        states = self._prepare(edits, size, clean)
        mask = self.control.weights[clean.shape[2] * clean.shape[3]].view(len(edits), 1, *clean.shape[2:])
        draws = [torch.Generator().manual_seed(edit.seed) for edit in edits]

        def fresh() -> Tensor:
            # drawn on the CPU, one generator an edit: neither the device nor its companions change an edit's noise
            return torch.stack([torch.randn(clean.shape[1:], generator=draw) for draw in draws]).to(clean.device)

        target_x0 = clean
        for level in self._levels:
            noise = fresh()
            source, target = add_noise(clean, noise, level.abar), add_noise(target_x0, noise, level.abar)
            self.control.refine = self._acts and refines(level.t, self._settings.steps, self._settings.tau_c)
            self.control.keep_structure = self._controlled and keeps_structure(
                level.t, self._settings.steps, self._settings.structure
            )
            source_noise, target_noise = self._noises(source, target, states, level.timestep)
            target_x0 = target_clean(
                clean=clean,
                source=source,
                target=target,
                source_noise=source_noise,
                target_noise=target_noise,
                abar=level.abar,
            )
            target_x0 = blend(clean, target_x0, mask.float())
            yield Step(level=level, source=source, target=target, clean=target_x0)

    def _prepare(self, edits: Sequence[Edit], size: tuple[int, int], clean: Tensor) -> Tensor:
        """Sets the control for the batch; the text rows of all roles, [roles x B, L, W]."""
        text, control, device = self._text, self.control, clean.device
        targets = text.tokens([edit.prompt for edit in edits])
        sources = text.tokens([edit.source_prompt for edit in edits])
        positive, negative = text.tokens([self._settings.positive_prompt, self._settings.negative_prompt])
        rows = {
            "source": sources,
            "target": targets,
            "source_empty": [positive] * len(edits),
            "target_empty": [negative] * len(edits),
        }
        roles = {role: block for block, role in enumerate(self._roles)}
        control.batch = len(edits)
        control.pairs = ((roles["target"], roles["source"]),)
        if "target_empty" in roles:
            control.pairs += ((roles["target_empty"], roles.get("source_empty", roles["source"])),)
        captions = [tokens if edit.source_prompt.strip() else None for tokens, edit in zip(sources, edits, strict=True)]
        aligned = align(captions, targets, text.end) if self._controlled else None
        control.alignment = aligned.to(device) if aligned else None
        shapes = [(clean.shape[2] >> level, clean.shape[3] >> level) for level in range(self._base.depth + 1)]
        masks = [edit.mask if self._controlled else None for edit in edits]
        of_edits = [layer_weights(mask, (size[1], size[0]), shapes, self._settings.feather) for mask in masks]
        control.weights = {
            height * width: torch.stack([of_edit[depth] for of_edit in of_edits]).view(len(edits), 1, -1, 1)
            for depth, (height, width) in enumerate(shapes)
        }
        self._acts = self._controlled and control.acts()  # asked while all is on the CPU: a GPU would be waited for
        control.weights = {pixels: weights.to(device) for pixels, weights in control.weights.items()}
        ids = text.ids([tokens for role in self._roles for tokens in rows[role]])
        return self._states("text", {"ids": ids}).to(self._base.dtype)

    @torch.inference_mode()
    def _noises(self, source: Tensor, target: Tensor, states: Tensor, timestep: int) -> tuple[Tensor, Tensor]:
        """The guided noise of both branches, float32, from one pass over all rows."""
        latents = torch.cat([source if role.startswith("source") else target for role in self._roles])
        inputs = {
            "latents": latents.to(self._base.dtype),
            "timestep": torch.full((), timestep, device=latents.device),  # made there: a copy would wait for a GPU
            "states": states,
            **self.control.tensors(),
        }
        noise = self._predict(self.control.key(), inputs).float()
        of_role = dict(zip(self._roles, noise.chunk(len(self._roles)), strict=True))
        return (
            guide(of_role.get("source_empty", of_role["source"]), of_role["source"], self._settings.source_guidance),
            guide(of_role.get("target_empty", of_role["target"]), of_role["target"], self._settings.guidance),
        )

    def _pass(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The UNet over all rows, its attention controlled by the same inputs."""
        self.control.take_tensors(inputs)
        noise: Tensor = self._base.unet(
            inputs["latents"], inputs["timestep"], encoder_hidden_states=inputs["states"]
        ).sample
        return noise
