"""Loads an open_clip model by name or from a folder, and embeds pictures and texts with it."""

import difflib
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from moodarchive.errors import ConfigError, MissingExtraError
from moodarchive.models.hub import REMEDY, from_cache_first

Embeddings = npt.NDArray[np.float32]
T = TypeVar("T")
_HUB = "hf-hub:"


@dataclass(frozen=True, kw_only=True)
class ClipEncoder:
    """Two towers of open_clip: unit vectors of pictures and texts.

    ``model`` is an architecture of open_clip with ``pretrained`` one of its tags, or ``local-dir:FOLDER`` with an
    exported checkpoint. On a CPU it runs in float32 on ``threads`` threads, on a GPU in bfloat16.
    """

    model: str
    pretrained: str = ""
    threads: int = 1

    @cached_property
    def _loaded(self) -> tuple[Any, Any, Any, Any]:
        torch, _ = _imports()
        torch.set_num_threads(self.threads)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

        def load(open_clip: Any) -> tuple[Any, Any, Any]:
            precision = "bf16" if device.type == "cuda" else "fp32"
            model, preprocess = open_clip.create_model_from_pretrained(
                self.model, pretrained=self.pretrained or None, precision=precision
            )
            return model, preprocess, open_clip.get_tokenizer(self.model)

        model, preprocess, tokenizer = load_with_open_clip("the CLIP model", self.model, self.pretrained, load)
        return model.to(device).eval(), preprocess, tokenizer, device

    @property
    def parameters(self) -> int:
        """How many numbers the two towers hold."""
        return sum(parameter.numel() for parameter in self._loaded[0].parameters())

    def texts(self, texts: Sequence[str]) -> Embeddings:
        """[len(texts), width], each row of length 1."""
        import torch

        model, _, tokenizer, device = self._loaded
        with torch.inference_mode():
            rows = [
                model.encode_text(tokenizer(list(texts[i : i + 64])).to(device), normalize=True).float().cpu().numpy()
                for i in range(0, len(texts), 64)
            ]
        return np.asarray(np.concatenate(rows), dtype=np.float32)

    def images(self, images: Sequence[Image.Image]) -> Embeddings:
        """[len(images), width], each row of length 1."""
        return self.embed_pixels([self.prepare(image) for image in images])

    def prepare(self, image: Image.Image) -> Any:
        """The model's own pixels of the picture, [3, side, side]; threads may call it once the model is loaded."""
        return self._loaded[1](image)

    def embed_pixels(self, pixels: Sequence[Any]) -> Embeddings:
        """``images`` of what ``prepare`` gave. A batch that memory cannot hold is halved, and so are later ones.

        torch.OutOfMemoryError when even one picture does not fit.
        """
        import torch

        found, done = [], 0
        while done < len(pixels):
            some = pixels[done : done + self._batch.most]
            try:
                found.append(self._encoded(some))
            except torch.OutOfMemoryError:
                if len(some) == 1:
                    raise
                self._batch.most = len(some) // 2
                torch.cuda.empty_cache()
            else:
                done += len(some)
        return np.concatenate(found)

    @cached_property
    def _batch(self) -> "_Batch":
        return _Batch()

    def _encoded(self, pixels: Sequence[Any]) -> Embeddings:
        import torch

        model, _, _, device = self._loaded
        stacked = torch.stack(list(pixels)).to(device, next(model.parameters()).dtype)
        with torch.inference_mode():
            features = model.encode_image(stacked, normalize=True)
        return np.asarray(features.float().cpu().numpy(), dtype=np.float32)

    def patches(self, image: Image.Image) -> Embeddings:
        """[rows, columns, width], each of length 1, of the whole picture, squeezed into the tower's square."""
        import torch

        from moodarchive.models.clip_patches import image_and_patches

        model, preprocess, _, device = self._loaded
        side = model.visual.image_size
        square = (side, side) if isinstance(side, int) else (side[1], side[0])
        pixels = preprocess(image.resize(square, Image.Resampling.BICUBIC))[None]
        with torch.inference_mode():
            _, found = image_and_patches(model.visual, pixels.to(device, next(model.parameters()).dtype))
            found = torch.nn.functional.normalize(found[0].float(), dim=-1).cpu().numpy()
        rows = math.isqrt(len(found))
        return np.asarray(found.reshape(rows, -1, found.shape[-1]), dtype=np.float32)


@dataclass
class _Batch:
    most: int = sys.maxsize


def load_with_open_clip(told: str, model: str, pretrained: str, load: Callable[[Any], T]) -> T:
    """What ``load`` makes with the module open_clip, from earlier downloads first.

    ConfigError within seconds when the model cannot be had; ``told`` says to people what names it.
    """
    _, open_clip = _imports()
    _require_own_activation(open_clip, told, model, pretrained)
    try:
        return from_cache_first(_repository(open_clip, model, pretrained), lambda: load(open_clip))
    except ConfigError:
        raise
    except Exception as error:  # open_clip raises anything from RuntimeError to hub errors
        close = difflib.get_close_matches(model, open_clip.list_models(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close and close[0] != model else ""
        raise ConfigError(
            f"{told} {model!r} (pretrained = {pretrained!r}) cannot be loaded: {str(error)[:200]}{hint}; remedy: "
            f"{REMEDY}, or an exported folder as local-dir:FOLDER"
        ) from error


def _require_own_activation(open_clip: Any, told: str, model: str, pretrained: str) -> None:
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
        f"{told} {model!r} has another activation than the weights {pretrained!r} were trained with (QuickGELU or "
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
