"""Loads an open_clip model by name or from a folder, and embeds pictures and texts with it."""

import difflib
import io
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from pathlib import PurePosixPath
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from moodarchive.errors import ConfigError, MissingExtraError
from moodarchive.models.device import choose_device
from moodarchive.models.hub import REMEDY, from_cache_first

Embeddings = npt.NDArray[np.float32]
T = TypeVar("T")
_HUB = "hf-hub:"
DRAFT_MARGIN = 1.5
"""A JPEG is decoded no smaller than so many times the model's side: what is left to the resize is a real reduction."""


@dataclass(frozen=True, kw_only=True)
class _Loaded:
    """The towers on their device, what prepares pictures and texts for them, and the type of their input."""

    clip: Any
    transform: "_Transform"
    tokenizer: Any
    device: Any
    dtype: Any


@dataclass(frozen=True, kw_only=True)
class ClipEncoder:
    """Two towers of open_clip: unit vectors of pictures and texts.

    ``model`` is an architecture of open_clip with ``pretrained`` one of its tags, or ``local-dir:FOLDER`` with an
    exported checkpoint. On a CPU it runs on ``threads`` threads. ``precision`` "auto" is float32 on a CPU and bfloat16
    on a GPU.
    """

    model: str
    pretrained: str = ""
    threads: int = 1
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    @cached_property
    def _loaded(self) -> _Loaded:
        torch, _ = _imports()
        torch.set_num_threads(self.threads)
        device = choose_device()
        automatic = "bf16" if device.type == "cuda" else "fp32"
        precision = automatic if self.precision == "auto" else self.precision

        def load(open_clip: Any) -> tuple[Any, Any, Any]:
            model, preprocess = open_clip.create_model_from_pretrained(
                self.model, pretrained=self.pretrained or None, precision=precision
            )
            return model, preprocess, open_clip.get_tokenizer(self.model)

        model, preprocess, tokenizer = load_with_open_clip("the CLIP model", self.model, self.pretrained, load)
        return _Loaded(
            clip=model.to(device).eval(),
            transform=_Transform(preprocess),
            tokenizer=tokenizer,
            device=device,
            # not that of some parameter: open_clip keeps norms and positions in float32 beside bfloat16 products
            dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
        )

    @property
    def parameters(self) -> int:
        """How many numbers the two towers hold."""
        return sum(parameter.numel() for parameter in self._loaded.clip.parameters())

    @property
    def on_cpu(self) -> bool:
        """Whether the towers run on the processor, whose cores decoding needs, too."""
        return bool(self._loaded.device.type == "cpu")

    def texts(self, texts: Sequence[str]) -> Embeddings:
        """[len(texts), width], each row of length 1."""
        import torch

        loaded = self._loaded
        with torch.inference_mode():
            rows = [
                _of_length_one(loaded.clip.encode_text(loaded.tokenizer(list(texts[i : i + 64])).to(loaded.device)))
                for i in range(0, len(texts), 64)
            ]
        return np.asarray(np.concatenate([part.cpu().numpy() for part in rows]), dtype=np.float32)

    def images(self, images: Sequence[Image.Image]) -> Embeddings:
        """[len(images), width], each row of length 1."""
        return self.embed_pixels([self.prepare(image) for image in images])

    def prepare(self, image: Image.Image) -> Any:
        """The picture at the model's size, for ``embed_pixels``; threads may call it once the model is loaded.

        uint8 [side, side, 3] where the model's transform ends with open_clip's normalisation, which is then done for a
        whole batch on the model's device; else what the transform gives.
        """
        return self._loaded.transform.prepare(image)

    def prepare_bytes(self, data: bytes) -> Any:
        """``prepare`` of a file's bytes, which the project itself has stored.

        A JPEG is decoded at the smallest eighth of its size that is at least 1.5 times the model's, where decoding and
        resizing cost a fraction; embeddings move by less than a cosine of 0.01 from those of the full decode.
        """
        height, width = self._size
        return self.prepare(_decode_small(data, ceil(DRAFT_MARGIN * width), ceil(DRAFT_MARGIN * height)))

    @property
    def _size(self) -> tuple[int, int]:
        """Height and width of the vision tower's input."""
        side = self._loaded.clip.visual.image_size
        return (side, side) if isinstance(side, int) else (side[0], side[1])

    def embed_pixels(self, pixels: Sequence[Any]) -> Embeddings:
        """``images`` of what ``prepare`` gave. A batch that memory cannot hold is halved, and so are later ones.

        torch.OutOfMemoryError when even one picture does not fit. A row's last bits depend on the batch it is in.
        """
        import torch

        rows, done = [], 0
        while done < len(pixels):
            some = pixels[done : done + self._batch.most]
            try:
                rows.append(_to_numpy(self._encode(some)))
            except torch.OutOfMemoryError:
                if len(some) == 1:
                    raise
                self._batch.most = len(some) // 2
                torch.cuda.empty_cache()
            else:
                done += len(some)
        return np.concatenate(rows)

    def embed_batch(self, pixels: Sequence[Any], rows: int) -> Embeddings:
        """``embed_pixels`` in one pass of exactly ``rows`` rows, the missing ones filled up: [len(pixels), width].

        Kernels choose their order of summation by the shapes. In passes of one shape a picture's vector is the same,
        to the bit, whichever pictures are beside it and wherever it stands.
        """
        return _to_numpy(self._encode_filled(pixels, rows)[: len(pixels)])

    def group_texts(self, groups: Sequence[Sequence[str]]) -> Any:
        """float64 [groups, most, width] on the model's device, for ``match_batch``.

        A group with fewer texts than ``most`` repeats its first one.
        """
        import torch

        vectors = torch.from_numpy(self.texts([text for texts in groups for text in texts])).to(torch.float64)
        most, starts = max(map(len, groups)), [0, *np.cumsum([len(texts) for texts in groups]).tolist()]
        rows = [
            start + (place if place < len(texts) else 0)
            for start, texts in zip(starts, groups, strict=False)
            for place in range(most)
        ]
        return vectors[rows].view(len(groups), most, -1).to(self._loaded.device)

    def match_batch(self, pixels: Sequence[Any], rows: int, groups: Any) -> tuple[npt.NDArray[np.float64], Any]:
        """Of each picture the largest cosine to each group's texts, and which text that is: both [len(pixels), groups].

        In one pass of exactly ``rows`` rows, cosines included, so that ``embed_batch``'s promise holds for them, too.
        ``groups`` is what ``group_texts`` gave. They are summed in float64: rounded to a few decimals, no order of
        summation shows.
        """
        return self.match_and_embed_batch(pixels, rows, groups)[:2]

    def match_and_embed_batch(
        self, pixels: Sequence[Any], rows: int, groups: Any
    ) -> tuple[npt.NDArray[np.float64], Any, Embeddings]:
        """``match_batch``, and of the same pass what ``embed_batch`` gives."""
        import torch

        with torch.inference_mode():
            vectors = self._encode_filled(pixels, rows)
            cosines = vectors.to(torch.float64) @ groups.flatten(0, 1).T
            best = cosines.view(rows, *groups.shape[:2]).max(dim=-1)
        many = len(pixels)
        return best.values[:many].cpu().numpy(), best.indices[:many].cpu().numpy(), _to_numpy(vectors[:many])

    @cached_property
    def _batch(self) -> "_Batch":
        return _Batch()

    def _encode_filled(self, pixels: Sequence[Any], rows: int) -> Any:
        if not 0 < len(pixels) <= rows:
            raise ValueError(f"{len(pixels)} pictures in a pass of {rows}")
        return self._encode([*pixels, *[pixels[-1]] * (rows - len(pixels))])

    def _encode(self, pixels: Sequence[Any]) -> Any:
        """float32 [len(pixels), width] on the model's device."""
        import torch

        loaded = self._loaded
        with torch.inference_mode():
            batch = loaded.transform.to_batch(pixels, loaded.device).to(loaded.dtype)
            return _of_length_one(loaded.clip.encode_image(batch))

    def patches(self, image: Image.Image) -> Embeddings:
        """[rows, columns, width], each of length 1, of the whole picture, squeezed into the tower's square."""
        import torch

        from moodarchive.models.clip_patches import image_and_patches

        loaded = self._loaded
        height, width = self._size
        squeezed = self.prepare(image.resize((width, height), Image.Resampling.BICUBIC))
        with torch.inference_mode():
            pixels = loaded.transform.to_batch([squeezed], loaded.device).to(loaded.dtype)
            _, patches = image_and_patches(loaded.clip.visual, pixels)
            vectors = _of_length_one(patches[0]).cpu().numpy()
        rows = math.isqrt(len(vectors))
        return np.asarray(vectors.reshape(rows, -1, vectors.shape[-1]), dtype=np.float32)


def _decode_small(data: bytes, width: int, height: int) -> Image.Image:
    """RGB, a JPEG at the smallest power of two of its size that is at least this large, down to an eighth."""
    try:
        rows, columns, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours == "YCbCr":
            scale = next((scale for scale in (8, 4, 2) if columns // scale >= width and rows // scale >= height), 1)
            size = {"min_width": -(-columns // scale), "min_height": -(-rows // scale)} if scale > 1 else {}
            return Image.fromarray(simplejpeg.decode_jpeg(data, min_factor=1, **size))
    except ValueError:  # no JPEG, or one that Pillow reads and this decoder does not
        pass
    image = Image.open(io.BytesIO(data))
    image.draft(None, (width, height))
    return image.convert("RGB")


def _of_length_one(vectors: Any) -> Any:
    """In float32: lengths that are rounded to bfloat16 differ by half a per cent, and with them every cosine."""
    import torch

    return torch.nn.functional.normalize(vectors.float(), dim=-1)


def _to_numpy(vectors: Any) -> Embeddings:
    return np.asarray(vectors.cpu().numpy(), dtype=np.float32)


@dataclass
class _Batch:
    most: int = sys.maxsize


class _Transform:
    """open_clip's picture transform in two halves: resize and crop of one picture, normalisation of a batch."""

    def __init__(self, preprocess: Any) -> None:
        steps = list(getattr(preprocess, "transforms", ()))
        names = [type(step).__name__ for step in steps]
        self._whole = preprocess
        self._geometry: list[Any] | None = None
        if names[-2:] in (["MaybeToTensor", "Normalize"], ["ToTensor", "Normalize"]):
            self._geometry, normalize = steps[:-2], steps[-1]
            self._mean, self._std = normalize.mean, normalize.std

    def prepare(self, image: Image.Image) -> Any:
        """See ``ClipEncoder.prepare``."""
        if self._geometry is None:
            return self._whole(image)
        for step in self._geometry:
            image = step(image)
        return np.array(image)

    def to_batch(self, prepared: Sequence[Any], device: Any) -> Any:
        """float32 [n, 3, side, side] on the device, with the values that the whole transform gives."""
        import torch

        if self._geometry is None:
            return torch.stack(list(prepared)).to(device)
        pixels = torch.from_numpy(np.stack(prepared)).to(device).permute(0, 3, 1, 2)
        pixels = pixels.to(torch.float32, memory_format=torch.contiguous_format)
        mean, std = (torch.tensor(values).to(device).view(1, -1, 1, 1) for values in (self._mean, self._std))
        return pixels.div_(255).sub_(mean).div_(std)


def load_with_open_clip(setting: str, model: str, pretrained: str, load: Callable[[Any], T]) -> T:
    """What ``load`` makes with the module open_clip, from earlier downloads first.

    ConfigError within seconds when the model cannot be had; ``setting`` says to people what names it.
    """
    _, open_clip = _imports()
    _require_own_activation(open_clip, setting, model, pretrained)
    try:
        return from_cache_first(_repository(open_clip, model, pretrained), lambda: load(open_clip))
    except ConfigError:
        raise
    except Exception as error:  # open_clip raises anything from RuntimeError to hub errors
        close = difflib.get_close_matches(model, open_clip.list_models(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close and close[0] != model else ""
        raise ConfigError(
            f"{setting} {model!r} (pretrained = {pretrained!r}) cannot be loaded: {str(error)[:200]}{hint}; remedy: "
            f"{REMEDY}, or an exported folder as local-dir:FOLDER"
        ) from error


def _require_own_activation(open_clip: Any, setting: str, model: str, pretrained: str) -> None:
    """ConfigError where weights were trained with another activation than the architecture of this name has.

    open_clip only warns, and every figure is then a few points too low.
    """
    if not pretrained or ":" in model:  # a folder or a model of the hub brings its own architecture
        return
    config, tag = open_clip.get_model_config(model), open_clip.get_pretrained_cfg(model, pretrained)
    if not config or not tag or bool(config.get("quick_gelu")) == bool(tag.get("quick_gelu")):
        return
    other = model.removesuffix("-quickgelu") if config.get("quick_gelu") else f"{model}-quickgelu"
    raise ConfigError(
        f"{setting} {model!r} has another activation than the weights {pretrained!r} were trained with (QuickGELU or "
        f"GELU); remedy: {other!r}"
    )


def _repository(open_clip: Any, model: str, pretrained: str) -> str:
    """Of the hub, where its weights lie; empty for a folder, random weights, or what open_clip does not know."""
    if model.startswith(_HUB):
        return model.removeprefix(_HUB)
    known = open_clip.get_pretrained_cfg(model, pretrained) if pretrained else {}
    return str(PurePosixPath(*PurePosixPath(known.get("hf_hub", "")).parts[:2])) if known.get("hf_hub") else ""


def _imports() -> tuple[Any, Any]:
    try:
        from moodarchive.models.torch_compat import import_torchvision_safely

        import_torchvision_safely()
        import open_clip
        import torch
    except ImportError as error:
        raise MissingExtraError(error.name or "open_clip", "clip") from error
    return torch, open_clip
