"""EmoEditor (arXiv 2403.08255): an emotion alone steers an InstructPix2Pix-type UNet, round by round.

One pass noises what is fed to it up to a time T below the last, and denoises it by DDIM steps that see the untouched
source beside the latent and attend to the encoded direction from the source's emotion to the target.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from editor.edit import Edit, EditSettings, EditStopped, Progress, Stopped
from editor.methods.base import choose_device_and_dtype
from editor.methods.batches import batches
from editor.methods.canvas import resized_to, to_bytes, to_image, to_pixels
from editor.methods.iei import Outcome, edit_iteratively
from editor.methods.replay import recorder_for, replay
from moodarchive.diffusion.emotion import EmotionEncoder, class_of, onehot, open_encoder
from moodarchive.diffusion.parts import diffusion_library, read_model, read_schedule
from moodarchive.diffusion.predictor import EmotionPredictor, open_predictor
from moodarchive.diffusion.text import TextTower, require_fitting_text
from moodarchive.errors import EditError


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """DDIM's levels of one pass: ``abar`` [1000] of the base's betas."""

    abar: Tensor

    @staticmethod
    def open(folder: Path) -> "Schedule":
        """From a base's scheduler; EditError where the model does not predict noise."""
        config = read_schedule(folder, "emoeditor")
        return Schedule(abar=diffusion_library().DDIMScheduler.from_config(config).alphas_cumprod.double())

    def times(self, last: int, steps: int) -> list[int]:
        """1 + j · floor(T / N) for j = N - 1 … 0."""
        return [1 + j * (last // steps) for j in reversed(range(steps))]

    def level(self, times: Tensor) -> Tensor:
        """[B, 1, 1, 1] float32; what lies before the first time is taken as the first (set_alpha_to_one off)."""
        return self.abar[times.clamp(min=0)].float().view(-1, 1, 1, 1)


class EmoEditor:
    """The method of one exported folder: unet, vae, scheduler, predictor, emotion encoder, and for text its tower."""

    name = "emoeditor"

    def __init__(self, folder: Path, settings: EditSettings) -> None:
        diffusers = diffusion_library()
        self._settings = settings
        self.outcomes: Sequence[str] = ()
        self.results: Sequence[Outcome] = ()
        self.device, self.dtype = choose_device_and_dtype(settings)
        self.encoder: EmotionEncoder = open_encoder(folder)
        self.encoder = self.encoder.to(self.device, self.dtype)
        self.unet: Any = read_model(diffusers.UNet2DConditionModel, folder / "unet", self.dtype).to(self.device)
        self.vae: Any = read_model(diffusers.AutoencoderKL, folder / "vae", self.dtype).to(self.device)
        self.schedule = Schedule.open(folder / "scheduler")
        self.predictor: EmotionPredictor = open_predictor(folder / "predictor", self.device)
        self.text = self._open_text(folder) if self.encoder.config.condition == "text" else None
        self._require_fitting(folder)
        self._predict = replay(self._pass, recorder_for(self.device, settings.replay))

    def _open_text(self, folder: Path) -> TextTower:
        text = TextTower(
            model=folder / "text_encoder", tokenizer=folder / "tokenizer", device=self.device, dtype=self.dtype
        )
        require_fitting_text(text, int(self.unet.config.cross_attention_dim), str(folder))
        return text

    def _require_fitting(self, folder: Path) -> None:
        channels, latent = self.unet.config.in_channels, self.vae.config.latent_channels
        if channels != 2 * latent:
            raise EditError(
                f"the UNet in {folder} takes {channels} channels; emoeditor needs one of {2 * latent}: the folder that "
                "`moodarchive train` exports with kind = emoeditor"
            )
        if (width := self.encoder.config.width) != self.unet.config.cross_attention_dim:
            raise EditError(
                f"the emotion encoder in {folder} gives states of width {width}, the UNet's cross-attention takes "
                f"{self.unet.config.cross_attention_dim}; remedy: both from one export"
            )
        if self._settings.iei.start_low < self._settings.steps:
            raise EditError(
                f"steps = {self._settings.steps} do not fit below start_low = {self._settings.iei.start_low}; remedy: "
                "fewer steps"
            )

    @property
    def _multiple(self) -> int:
        return int(2 ** (len(self.vae.config.block_out_channels) - 1 + len(self.unet.config.down_block_types) - 1))

    def edit(self, edits: Sequence[Edit], progress: Progress, stopped: Stopped) -> list[Image.Image]:
        """See ``Method``; progress counts rounds, of which there may be fewer than were announced.

        Among others an edit's last bits may be others, because kernels choose their order of summation by the shapes;
        its noise is its own.
        """
        planned = batches(edits, self._settings.size, self._multiple, self._settings.batch)
        rounds = self._settings.iei.rounds
        outcomes: dict[int, Outcome] = {}
        for number, batch in enumerate(planned):
            members = [edits[index] for index in batch.indices]
            of_batch = self.outcomes_of(
                members, batch.size, stopped, lambda done, n=number: progress(n * rounds + done, len(planned) * rounds)
            )
            if any(outcome.reason == "stopped" for outcome in of_batch):
                raise EditStopped(f"stopped after {number} of {len(planned)} batches")
            progress((number + 1) * rounds, len(planned) * rounds)
            outcomes |= dict(zip(batch.indices, of_batch, strict=True))
        self.results = [outcomes[index] for index in range(len(edits))]
        self.outcomes = [describe(outcome) for outcome in self.results]
        return [
            resized_to(to_image(outcome.pixels), edit.image.size)
            for outcome, edit in zip(self.results, edits, strict=True)
        ]

    def outcomes_of(
        self, edits: Sequence[Edit], size: tuple[int, int], stopped: Stopped, tell: Any = lambda done: None
    ) -> list[Outcome]:
        """IEI over edits of one working size, (width, height)."""
        sources = torch.cat([to_pixels(resized_to(edit.image, size)) for edit in edits])
        originals = torch.stack([to_bytes(source) for source in sources])
        targets = [class_of(edit.emotion) for edit in edits]
        draws = [torch.Generator().manual_seed(edit.seed) for edit in edits]
        texts = self._states_of_text(edits, targets, draws)
        images = self._condition_image(sources)
        done = 0

        def one_pass(rows: Sequence[int], fed: Tensor, directions: Tensor) -> Tensor:
            nonlocal done
            if texts is None:
                states = self.encode_emotions(directions, [targets[row] for row in rows])
            else:
                states = texts[list(rows)]
            latents = self.one_pass(self.start(fed, [draws[row] for row in rows]), images[list(rows)], states)
            done += 1
            tell(done)
            return self.decode(latents)

        return edit_iteratively(
            originals,
            targets,
            one_pass=one_pass,
            predict=lambda pixels: self.predictor.probabilities(pixels.permute(0, 3, 1, 2).float() / 255),
            rules=self._settings.iei,
            stopped=stopped,
        )

    def unread(self, prompt: str) -> str:
        """See ``Method``: no prompt is read, unless the model was trained on instructions."""
        return self.text.unread(prompt) if self.text else ""

    @torch.inference_mode()
    def encode_emotions(self, directions: Tensor, targets: Sequence[int]) -> Tensor:
        """[B, tokens, width] of the directions, or of the targets alone, as the model was trained."""
        emotions = onehot(targets) if self.encoder.config.condition == "onehot" else directions
        states: Tensor = self.encoder(emotions.to(self.device, self.dtype))
        return states

    def _states_of_text(
        self, edits: Sequence[Edit], targets: Sequence[int], draws: Sequence[torch.Generator]
    ) -> Tensor | None:
        """The prompt's states where one is given, else those of one of the class's instructions, drawn by the seed."""
        if self.text is None:
            return None
        prompts = []
        for edit, target, draw in zip(edits, targets, draws, strict=True):
            kept = self.encoder.config.instructions[target] if self.encoder.config.instructions else ()
            if not edit.prompt and not kept:
                raise EditError(f"the model has no instruction for {edit.emotion}; remedy: --prompt")
            prompts.append(edit.prompt or kept[int(torch.randint(len(kept), (1,), generator=draw))])
        return self.text.states(self.text.ids(self.text.tokens(prompts)))

    @torch.inference_mode()
    def _condition_image(self, pixels: Tensor) -> Tensor:
        """c_I of [B, 3, H, W] in [-1, 1]: the mode, unscaled, as InstructPix2Pix has it."""
        modes = [self.vae.encode(one[None].to(self.device, self.dtype)).latent_dist.mode() for one in pixels]
        return torch.cat(modes).float()

    @torch.inference_mode()
    def start(self, fed: Tensor, draws: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        """(noised latents [B, 4, h, w], last times [B]) of pictures uint8 [B, H, W, 3], each from its own generator."""
        rules, steps = self._settings.iei, self._settings.steps
        latents, lasts = [], []
        for values, draw in zip(fed, draws, strict=True):
            pixels = values.permute(2, 0, 1)[None].float() / 127.5 - 1
            spread = self.vae.encode(pixels.to(self.device, self.dtype)).latent_dist
            # drawn on the CPU, one generator a row: neither the device nor its companions change a row's noise
            latent = spread.mean.float() + spread.std.float() * _noise(spread.mean, draw)
            last = int(torch.randint(rules.start_low, rules.start_high + 1, (1,), generator=draw))
            first = torch.tensor([self.schedule.times(last, steps)[0]])
            abar = self.schedule.level(first).to(self.device)
            scaled = latent * float(self.vae.config.scaling_factor)
            latents.append(abar.sqrt() * scaled + (1 - abar).sqrt() * _noise(scaled, draw))
            lasts.append(last)
        return torch.cat(latents), torch.tensor(lasts)

    @torch.inference_mode()
    def one_pass(self, begun: tuple[Tensor, Tensor], images: Tensor, states: Tensor) -> Tensor:
        """N DDIM steps (eta 0, nothing clipped) from noised latents; the clean latents, float32 [B, 4, h, w]."""
        latents, lasts = begun
        steps = self._settings.steps
        times = torch.tensor([self.schedule.times(int(last), steps) for last in lasts])
        gaps = lasts // steps
        for now in times.T:
            inputs = {
                "latents": torch.cat([latents, images], 1).to(self.dtype),
                "timesteps": now.to(self.device),
                "states": states.to(self.dtype),
            }
            noise = self._predict("unet", inputs).float()
            abar, before = (self.schedule.level(at).to(self.device) for at in (now, now - gaps))
            clean = (latents - (1 - abar).sqrt() * noise) / abar.sqrt()
            latents = before.sqrt() * clean + (1 - before).sqrt() * noise
        return latents

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] on the CPU; one at a time, because this is where memory peaks."""
        scale = float(self.vae.config.scaling_factor)
        decoded = [self.vae.decode((latent[None] / scale).to(self.dtype)).sample[0] for latent in latents]
        return torch.stack([to_bytes(pixels).cpu() for pixels in decoded])

    def _pass(self, inputs: Mapping[str, Tensor]) -> Tensor:
        noise: Tensor = self.unet(inputs["latents"], inputs["timesteps"], encoder_hidden_states=inputs["states"]).sample
        return noise


def describe(outcome: Outcome) -> str:
    """One line on how an edit came to its end."""
    rounds = f"{outcome.rounds} round{'' if outcome.rounds == 1 else 's'}"
    if not outcome.changed:
        return f"unchanged: none of {rounds} was accepted"
    end = "near the source and sure of the emotion" if outcome.reason == "both" else "the best accepted"
    return f"{end} after {rounds}, probability {outcome.probability:.2f} by the predictor"


def _noise(like: Tensor, draw: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=draw).to(like.device)
