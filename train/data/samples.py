"""A sample of a shard becomes tensors: the picture as the tower takes it, the caption as token ids."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from moodarchive.emotions.captions import caption_text
from moodarchive.errors import RowError, StageError
from train.data.batch import ALL_TEXTS, Batch, Reads
from train.data.texts import pack_texts

STIMULI = 3


def _open_clip() -> ModuleType:
    from moodarchive.models.torch_compat import import_torchvision_safely

    import_torchvision_safely()
    return import_module("open_clip")


class Sample(NamedTuple):
    """One decoded sample."""

    key: str
    full: list[int]
    short: list[int]
    ends: tuple[list[int], list[int]]
    """Summary and assessment, each by itself"""
    stimuli: list[list[int]]
    replaced: tuple[str, ...]
    """The corrupt samples in whose place it stands"""
    pixels: Tensor
    """[H, W, 3] bytes, last: it travels between processes by itself"""


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """Decodes samples for one model; what the random crop draws is a function of ``seed``, epoch and key."""

    model: str
    context: int
    preprocess_config: Mapping[str, Any]
    seed: int

    @cached_property
    def _tokenizer(self) -> Any:
        return _open_clip().get_tokenizer(self.model)

    @cached_property
    def _crop(self) -> Callable[[Image.Image], Image.Image]:
        """open_clip's training transform up to the picture; the model turns a whole batch into normed floats."""
        transforms = import_module(f"{_open_clip().__name__}.transform")
        config = transforms.PreprocessCfg(**self.preprocess_config)
        *crop, to_tensor, normalize = transforms.image_transform_v2(config, is_train=True).transforms
        assert [type(step).__name__ for step in (to_tensor, normalize)] == ["MaybeToTensor", "Normalize"]

        def crop_image(image: Image.Image) -> Image.Image:
            for step in crop:
                image = step(image)
            return image

        return crop_image

    @cached_property
    def _side(self) -> int:
        size = self.preprocess_config["size"]
        return int(size if isinstance(size, int) else max(size))

    def __call__(self, key: str, epoch: int, jpg: bytes, metadata: bytes) -> Sample:
        """RowError for a sample that is damaged; StageError for a caption that the model cannot read whole."""
        try:
            caption = json.loads(metadata)
            summary, stimuli, assessment = caption["summary"], list(caption["stimuli"])[:STIMULI], caption["assessment"]
            full = caption_text(summary, stimuli, assessment)
        except (ValueError, KeyError, TypeError) as error:
            raise RowError("bad_metadata", f"{key}: {error}") from None
        return Sample(
            key=key,
            full=self._tokens(key, full),
            short=self._tokens(key, f"{summary} {assessment}"),
            ends=(self._tokens(key, summary), self._tokens(key, assessment)),
            stimuli=[self._tokens(key, stimulus) for stimulus in stimuli],
            replaced=(),
            pixels=self._pixels(key, epoch, jpg),
        )

    def check_caption(self, key: str, text: str) -> None:
        """StageError for a caption that the model cannot read whole."""
        self._tokens(key, text)

    def _pixels(self, key: str, epoch: int, jpg: bytes) -> Tensor:
        try:
            file = Image.open(io.BytesIO(jpg), formats=("JPEG",))
            file.draft("RGB", (self._side, self._side))  # decodes at a half, a quarter or an eighth when that is enough
            image = file.convert("RGB")
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise RowError("bad_picture", f"{key}: {error}") from None
        generator = torch.default_generator
        before = generator.get_state()
        try:
            # torch.manual_seed would note a stack trace for each call on a machine without a GPU
            generator.manual_seed(int(hashlib.sha256(f"{self.seed}/{epoch}/{key}".encode()).hexdigest()[:15], 16))
            return torch.from_numpy(np.array(self._crop(image)))
        finally:
            generator.set_state(before)

    def _tokens(self, key: str, text: str) -> list[int]:
        tokenizer = self._tokenizer
        tokens = [tokenizer.sot_token_id, *tokenizer.encode(text), tokenizer.eot_token_id]
        if len(tokens) > self.context:
            raise StageError(
                f"the caption of {key} has {len(tokens)} tokens, the model reads {self.context}; "
                "remedy: model.long_text = true, or leave the image out of the archive"
            )
        return tokens


def collate(samples: Sequence[Sample], reads: Reads = ALL_TEXTS) -> Batch:
    """One batch, with the texts that the model reads (``MoodifyClip``)."""
    stimuli = [[*sample.stimuli, *([[]] * (STIMULI - len(sample.stimuli)))] for sample in samples]
    if reads.parts > STIMULI:
        stimuli = [[sample.ends[0], *three, sample.ends[1]] for sample, three in zip(samples, stimuli, strict=True)]
    texts = [sample.full for sample in samples]
    if reads.short_texts == 1:
        texts += [sample.short for sample in samples]
    elif reads.short_texts:
        texts += [text for sample in samples for text in sample.ends]
    if reads.fine:
        texts += [text or [0] for of_image in stimuli for text in of_image]
    return Batch(
        pixels=torch.stack([sample.pixels for sample in samples]),
        texts=pack_texts(texts),
        present=torch.tensor([[bool(text) for text in of_image] for of_image in stimuli]),
    )
