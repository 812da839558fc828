"""The methods that Moodifier is held against: InstructPix2Pix and SDEdit, run by diffusers, and colour transfer."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from editor.edit import Edit, EditSettings, Progress, Stopped
from editor.methods.base import choose_device_and_dtype
from editor.methods.batches import Batch, Steps, batches
from editor.methods.canvas import resized_to
from moodarchive.diffusion.parts import TRANSFORMERS_WEIGHTS, diffusion_library, read_model, weights_variant
from moodarchive.diffusion.text import unread_words
from moodarchive.errors import EditError


class Baseline:
    """A pipeline of diffusers behind the method's interface; it changes the whole picture."""

    outcomes: Sequence[str] = ()

    def __init__(self, *, name: str, folder: Path, settings: EditSettings) -> None:
        diffusers = diffusion_library()
        self.name, self._settings = name, settings
        instructed = name == "instruct-pix2pix"
        cls = (
            diffusers.StableDiffusionInstructPix2PixPipeline if instructed else diffusers.StableDiffusionImg2ImgPipeline
        )
        device, dtype = choose_device_and_dtype(settings)
        self._pipe = _open_pipeline(diffusers, cls, folder, dtype).to(device)
        self._pipe.set_progress_bar_config(disable=True)
        channels = self._pipe.unet.config.in_channels
        if channels != (8 if instructed else 4):
            raise EditError(
                f"the UNet in {folder} takes {channels} channels; {name} needs one of {8 if instructed else 4}: "
                + ("a base that was tuned for instruct-pix2pix" if instructed else "a plain base of the SD 1.5 family")
            )
        self._options: dict[str, Any] = {"num_inference_steps": settings.steps, "guidance_scale": settings.guidance}
        self._options |= (
            {"image_guidance_scale": settings.image_guidance} if instructed else {"strength": settings.strength}
        )
        self._steps = self._count_steps(instructed)

    def _count_steps(self, instructed: bool) -> int:
        """The steps that the base's scheduler really takes: PNDM adds one, a strength below 1 leaves some out."""
        settings, scheduler = self._settings, self._pipe.scheduler
        if not instructed and not int(settings.steps * settings.strength):
            raise EditError(
                f"steps = {settings.steps} at strength = {settings.strength} leave no step; remedy: raise one"
            )
        scheduler.set_timesteps(settings.steps)
        if instructed:
            return len(scheduler.timesteps)
        return len(self._pipe.get_timesteps(settings.steps, settings.strength, None)[0])

    def edit(self, edits: Sequence[Edit], progress: Progress, stopped: Stopped) -> list[Image.Image]:
        """See ``Method``."""
        unet = self._pipe.unet
        multiple = self._pipe.vae_scale_factor * 2 ** (len(unet.config.down_block_types) - 1)
        planned = batches(edits, self._settings.size, multiple, self._settings.batch)
        steps = Steps(total=len(planned) * self._steps, progress=progress, stopped=stopped)
        edited: dict[int, Image.Image] = {}
        for batch in planned:
            for position, image in zip(batch.indices, self._batch(edits, batch, steps), strict=True):
                edited[position] = resized_to(image, edits[position].image.size)
        return [edited[position] for position in range(len(edits))]

    def unread(self, prompt: str) -> str:
        """See ``Method``."""
        tokenizer = self._pipe.tokenizer
        return unread_words(tokenizer, prompt, int(tokenizer.model_max_length))

    def _batch(self, edits: Sequence[Edit], batch: Batch, steps: Steps) -> list[Image.Image]:
        members = [edits[position] for position in batch.indices]
        steps.begin()
        images: list[Image.Image] = self._pipe(
            prompt=[member.prompt for member in members],
            image=[resized_to(member.image, batch.size) for member in members],
            generator=[torch.Generator().manual_seed(member.seed) for member in members],
            callback_on_step_end=partial(_count_step, steps),
            **self._options,
        ).images
        return images


class ColourTransfer:
    """Reinhard et al. 2001: each channel of Lab takes the mean and the deviation of a picture that shows the emotion.

    No model and no text: what of an emotion lies in its colours alone. It reads an edit's emotion and seed.
    """

    name = "colour-transfer"
    outcomes: Sequence[str] = ()

    def __init__(self, references: Mapping[str, Sequence[Image.Image]]) -> None:
        """``references`` are RGB pictures of each emotion, of which an edit's seed takes one."""
        self._references = references

    def edit(self, edits: Sequence[Edit], progress: Progress, stopped: Stopped) -> list[Image.Image]:
        """See ``Method``; EditError for an emotion without a reference."""
        steps = Steps(total=len(edits), progress=progress, stopped=stopped)
        edited = []
        for edit in edits:
            steps.begin()
            if not (references := self._references.get(edit.emotion)):
                raise EditError(f"colour-transfer has no picture of {edit.emotion!r}; remedy: one as a reference")
            edited.append(_take_colours(edit.image, references[edit.seed % len(references)]))
            steps.end()
        return edited

    def unread(self, prompt: str) -> str:
        """See ``Method``: no prompt is read at all."""
        return prompt


def _take_colours(image: Image.Image, reference: Image.Image) -> Image.Image:
    source, wanted = (
        cv2.cvtColor(np.asarray(one, dtype=np.float32) / 255, cv2.COLOR_RGB2LAB) for one in (image, reference)
    )
    spread = source.std(axis=(0, 1))
    moved = (source - source.mean(axis=(0, 1))) / np.where(spread > 0, spread, 1)
    lab = (moved * wanted.std(axis=(0, 1)) + wanted.mean(axis=(0, 1))).astype(np.float32)
    rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return Image.fromarray((np.clip(rgb, 0, 1) * 255).round().astype(np.uint8))


def _count_step(steps: Steps, _pipe: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
    steps.end()
    if steps.done < steps.total:
        steps.begin()
    return tensors


def _open_pipeline(diffusers: Any, cls: Any, folder: Path, dtype: torch.dtype) -> Any:
    """The pipeline from its parts, so that no model_index.json of outside chooses classes."""
    from transformers import CLIPTextModel, CLIPTokenizer

    try:
        plain: dict[str, Any] = {"local_files_only": True}
        config = diffusers.DDIMScheduler.load_config(folder / "scheduler")
        named = getattr(diffusers, str(config["_class_name"]))
        assert issubclass(named, diffusers.SchedulerMixin)
        return cls(
            unet=read_model(diffusers.UNet2DConditionModel, folder / "unet", dtype),
            vae=read_model(diffusers.AutoencoderKL, folder / "vae", dtype),
            text_encoder=CLIPTextModel.from_pretrained(
                folder / "text_encoder",
                dtype=dtype,
                variant=weights_variant(folder / "text_encoder", TRANSFORMERS_WEIGHTS),
                use_safetensors=True,
                **plain,
            ),
            tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer", **plain),
            scheduler=named.from_config(config),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    except Exception as error:  # diffusers and transformers raise anything from OSError to safetensors' own errors
        raise EditError(f"{folder} cannot be read as a diffusion model: {str(error)[:200]}") from error
