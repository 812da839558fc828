"""EPEM (arXiv 2602.18016): an instruction becomes a caption of the wanted emotion, and a frozen model follows it.

The caption comes from a language model that is edited for this one sample, or from a person; PER, the trained adapter,
keeps what the emotion does not concern.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from editor.edit import Edit, EditSettings, Progress, Stopped
from editor.methods.base import choose_device_and_dtype
from editor.methods.batches import Steps, batches
from editor.methods.canvas import resized_to, to_bytes, to_image, to_pixels
from editor.methods.replay import recorder_for, replay
from editor.planning.instructions import read_instruction
from moodarchive.diffusion.emotion import class_of
from moodarchive.diffusion.parts import diffusion_library, read_model, read_schedule
from moodarchive.diffusion.queries import InstructionReader
from moodarchive.diffusion.retaining import (
    READER,
    VISION,
    Condition,
    open_retaining,
    predict_noise,
    read_retaining_config,
    require_fitting_parts,
)
from moodarchive.diffusion.text import TextTower
from moodarchive.diffusion.vision import open_picture_encoder, read_json
from moodarchive.emotions.taxonomy import MIKELS_EIGHT
from moodarchive.errors import EditError
from moodarchive.language_edit.caption_editor import CaptionEditor, open_caption_editor
from moodarchive.language_edit.prompts import MARK, CaptionRequest, instruction_for, prompt_of

EDITED, UNEDITED, PERSON = "edited language model", "language model as it is", "given"


@dataclass(frozen=True, kw_only=True)
class Written:
    """The words that steer an edit, and who wrote the caption."""

    instruction: str
    caption: str
    by: str
    source_caption: str = ""


class Epem:
    """The method of one exported folder, and of a caption editor where there is one."""

    name = "epem"
    outcomes: Sequence[str] = ()

    def __init__(self, folder: Path, language: Path | None, settings: EditSettings) -> None:
        require_whole(folder)
        diffusers = diffusion_library()
        self._settings = settings
        self.device, self.dtype = choose_device_and_dtype(settings)
        schedule = read_schedule(folder / "scheduler", self.name)
        self._schedule: Any = diffusers.DDIMScheduler.from_config(schedule, clip_sample=False)
        self.captions: CaptionEditor | None = open_caption_editor(language, self.device) if language else None
        self.retaining = open_retaining(folder).to(self.device, self.dtype)
        self.reader = InstructionReader(folder / READER, self.retaining.config.instruction_tokens)
        self.vision = open_picture_encoder(folder / VISION, self.device, self.dtype)
        self.vae: Any = read_model(diffusers.AutoencoderKL, folder / "vae", self.dtype).to(self.device)
        unet = read_model(diffusers.UNet2DConditionModel, folder / "unet", self.dtype).to(self.device)
        self.unet: Any = self.retaining.attach(unet)
        self.text = TextTower(
            model=folder / "text_encoder", tokenizer=folder / "tokenizer", device=self.device, dtype=self.dtype
        )
        self._predict = replay(self._pass, recorder_for(self.device, settings.replay))

    @property
    def _multiple(self) -> int:
        return int(2 ** (len(self.vae.config.block_out_channels) - 1 + len(self.unet.config.down_block_types) - 1))

    def write(self, image: Image.Image, emotion: str, instruction: str = "", caption: str = "") -> Written:
        """The instruction and the edited caption; what is given stays as it is. EditError as ``read_wish``."""
        target, source = read_wish(emotion, instruction, can_write=bool(caption) or self.captions is not None)
        if self.captions is None:
            return Written(instruction=instruction or _instruction(source, target), caption=caption, by=PERSON)
        described = self.captions.describe(image)
        source = source or name_emotion(self.captions, image, described)
        instruction = instruction or _instruction(source, target)
        if caption:
            return Written(instruction=instruction, caption=caption, by=PERSON, source_caption=described)
        if self._settings.eic:
            written = self.captions.edit_caption(image, described, source, instruction, target).text
        else:
            request = CaptionRequest(caption=described, emotion=source, instruction=instruction, target_emotion=target)
            seen = self.captions.captioner.see([image])[0]
            written = self.captions.captioner.write(seen, prompt_of(request), stop=MARK)
        by = EDITED if self._settings.eic else UNEDITED
        return Written(instruction=instruction, caption=written, by=by, source_caption=described)

    def edit(self, edits: Sequence[Edit], progress: Progress, stopped: Stopped) -> list[Image.Image]:
        """See ``Method``. Among others an edit's last bits may be others; its noise is its own."""
        written = [
            self.write(edit.image, edit.emotion, edit.instruction, edit.prompt)
            if not (edit.instruction and edit.prompt)
            else Written(instruction=edit.instruction, caption=edit.prompt, by=PERSON)
            for edit in edits
        ]
        planned = batches(edits, self._settings.size, self._multiple, self._settings.batch)
        times = self._times()
        steps = Steps(total=len(planned) * len(times), progress=progress, stopped=stopped)
        edited: dict[int, Image.Image] = {}
        for batch in planned:
            members, words = [edits[index] for index in batch.indices], [written[index] for index in batch.indices]
            sources = torch.cat([to_pixels(resized_to(edit.image, batch.size)) for edit in members])
            latents = self._sample(sources, words, [edit.seed for edit in members], times, steps)
            for index, latent in zip(batch.indices, latents, strict=True):
                edited[index] = resized_to(to_image(self._decode(latent)), edits[index].image.size)
        return [edited[index] for index in range(len(edits))]

    def unread(self, prompt: str) -> str:
        """See ``Method``; the text is instruction and caption in one."""
        return self.text.unread(prompt)

    def _times(self) -> Tensor:
        """The schedule's, those left out that a strength below 1 does not run."""
        self._schedule.set_timesteps(self._settings.steps)
        times: Tensor = self._schedule.timesteps
        run = int(self._settings.steps * self._settings.strength)
        if not run:
            raise EditError(
                f"steps = {self._settings.steps} at strength = {self._settings.strength} leave no step; remedy: raise "
                "one"
            )
        return times[len(times) - run :]

    @torch.inference_mode()
    def _sample(
        self, sources: Tensor, words: Sequence[Written], seeds: Sequence[int], times: Tensor, steps: Steps
    ) -> Tensor:
        """Clean latents [B, 4, h, w] of sources [B, 3, H, W], by DDIM without noise of its own."""
        modes = torch.cat(
            [self.vae.encode(one[None].to(self.device, self.dtype)).latent_dist.mode() for one in sources]
        )
        # drawn on the CPU, one generator a row: neither the device nor its companions change a row's noise
        noise = torch.cat(
            [torch.randn(modes[:1].shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        ).to(self.device)
        latents = noise
        if self._settings.strength < 1:
            scaled = modes.float() * float(self.vae.config.scaling_factor)
            latents = self._schedule.add_noise(scaled, noise, times[:1].repeat(len(seeds)))
        guided = self._settings.guidance != 1
        condition = self._condition(sources, modes, words, guided)
        images = torch.cat([modes, modes]) if guided else modes
        for now in times:
            steps.begin()
            stacked = torch.cat([latents, latents]) if guided else latents
            inputs = {
                "noisy": stacked.to(self.dtype), "image": images, "text": condition.text,
                "queries": condition.queries, "times": now.expand(len(stacked)).to(self.device),
            }  # fmt: skip
            predicted = self._predict("unet", inputs).float()
            if guided:
                without, predicted = predicted.chunk(2)
                predicted = without + self._settings.guidance * (predicted - without)
            latents = self._schedule.step(predicted, now, latents).prev_sample
            steps.end()
        return latents

    def _condition(self, sources: Tensor, modes: Tensor, words: Sequence[Written], guided: bool) -> Condition:
        """Of all rows; where guidance is asked for, those without words go first."""
        seen = self.vision(torch.stack([to_bytes(source) for source in sources]).permute(0, 3, 1, 2))
        instructions = [each.instruction for each in words]
        texts = [f"{each.instruction} {each.caption}" for each in words]
        kept = torch.ones(len(words))
        if guided:
            blank = [""] * len(words)
            instructions, texts = [*blank, *instructions], [*blank, *texts]
            kept = torch.cat([torch.zeros(len(words)), kept])
            seen, modes = torch.cat([seen, seen]), torch.cat([modes, modes])
        condition: Condition = self.retaining(
            seen=seen,
            image=modes,
            words=self.reader(instructions),
            text=self.text.states(self.text.ids(self.text.tokens(texts))),
            kept=kept,
        )
        return condition

    @torch.inference_mode()
    def _decode(self, latent: Tensor) -> Tensor:
        """uint8 [H, W, 3] of one latent, because this is where memory peaks."""
        scaled = latent[None] / float(self.vae.config.scaling_factor)
        return to_bytes(self.vae.decode(scaled.to(self.dtype)).sample[0])

    def _pass(self, inputs: Mapping[str, Tensor]) -> Tensor:
        condition = Condition(inputs["text"], inputs["queries"])
        return predict_noise(self.unet, inputs["noisy"], inputs["image"], inputs["times"], condition)


def read_wish(emotion: str, instruction: str, *, can_write: bool) -> tuple[str, str]:
    """Two of Mikels' eight, to go to and, where the instruction says it, to go from; needs no model.

    EditError for an emotion that has no place among them, an instruction that names another one, and where nobody can
    write a caption.
    """
    target, source = MIKELS_EIGHT[class_of(emotion)], ""
    if instruction:
        wish = read_instruction(instruction)
        if MIKELS_EIGHT[class_of(wish.target)] != target:
            raise EditError(
                f"the instruction asks for {wish.target}, the emotion is {emotion}; remedy: give one of the two"
            )
        source = MIKELS_EIGHT[class_of(wish.source)] if wish.source else ""
    if not can_write:
        raise EditError(
            "without a language model nobody writes the edited caption; remedy: --model with a trained caption editor, "
            "or --prompt with what the edited picture shall show"
        )
    return target, source


def require_whole(folder: Path) -> None:
    """EditError unless the folder's configurations fit together; no weight is read."""
    config, unet, vision = (
        read_retaining_config(folder),
        *(read_json(folder / part / "config.json") for part in ("unet", VISION)),
    )
    require_fitting_parts(
        folder / "unet",
        folder / "vae",
        folder / "text_encoder",
        [
            ("the adapter's text", config.text_width, unet.get("cross_attention_dim")),
            ("the adapter's input", config.input_width, (unet.get("block_out_channels") or [None])[0]),
            ("the picture encoder", vision.get("hidden_size"), config.qformer.get("encoder_hidden_size")),
        ],
    )


def name_emotion(captions: CaptionEditor, image: Image.Image, caption: str) -> str:
    """Which of Mikels' eight the unedited language model finds likeliest behind a caption."""
    captioner = captions.captioner
    picture, prompt = captioner.see([image])[0], captioner.ids(f"Caption: {caption}{MARK}", begins=True)
    losses = []
    with torch.no_grad():
        for emotion in MIKELS_EIGHT:
            answer = captioner.ids(f" {emotion}")
            logits = captioner.logits(captioner.answer_states(picture, prompt, answer)).float()
            losses.append(float(torch.nn.functional.cross_entropy(logits, torch.tensor(answer, device=logits.device))))
    return MIKELS_EIGHT[min(range(len(losses)), key=losses.__getitem__)]


def _instruction(source: str, target: str) -> str:
    if source:
        return instruction_for(source, target)
    return f"Please change the emotion of this image to {target}."
