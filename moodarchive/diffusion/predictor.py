"""The emotion predictor P: a convolutional classifier of Mikels' eight, kept as transformers keeps it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from moodarchive.emotions.taxonomy import MIKELS_EIGHT
from moodarchive.errors import EditError

SIDE = 224
_TEMPERATURE = "emotion_temperature"


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A ResNet's shapes; the paper's public code loads a ResNet-18 at 224 pixels."""

    hidden_sizes: tuple[int, ...] = (64, 128, 256, 512)
    depths: tuple[int, ...] = (2, 2, 2, 2)
    embedding_size: int = 64
    side: int = SIDE


@dataclass(eq=False, kw_only=True)
class EmotionPredictor:
    """``network`` sees pictures squashed to ``side`` x ``side``, in [0, 1] and not normalised; logits / temperature."""

    network: Any
    side: int = SIDE
    temperature: float = 1.0

    def logits(self, pixels: Tensor) -> Tensor:
        """[B, 8] of pixels [B, 3, H, W] in [0, 1], before the temperature."""
        parameter = next(self.network.parameters())
        given = pixels.to(parameter.device, parameter.dtype)
        if given.shape[-2:] != (self.side, self.side):
            given = nn.functional.interpolate(given, (self.side, self.side), mode="bilinear", antialias=True)
        logits: Tensor = self.network(pixel_values=given).logits
        return logits.float()

    @torch.inference_mode()
    def probabilities(self, pixels: Tensor) -> Tensor:
        """[B, 8] on the CPU, each row a distribution; a batch's rows do not depend on their neighbours."""
        return (self.logits(pixels) / self.temperature).softmax(-1).cpu()

    def save(self, folder: Path) -> None:
        """Writes a folder that transformers, ``edit-eval --emotions`` and ``open_predictor`` read."""
        setattr(self.network.config, _TEMPERATURE, self.temperature)
        self.network.save_pretrained(folder)
        preprocessor = {
            "image_processor_type": "ViTImageProcessor",  # it squashes to a fixed size, as the paper's code does
            "do_normalize": False,
            "do_rescale": True,
            "do_resize": True,
            "rescale_factor": 1 / 255,
            "image_mean": [0.0, 0.0, 0.0],
            "image_std": [1.0, 1.0, 1.0],
            "size": {"height": self.side, "width": self.side},
        }
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=1) + "\n")


def _transformers() -> Any:
    """The library, without a bar for each file that it reads or writes."""
    from moodarchive.models.torch_compat import import_torchvision_safely

    import_torchvision_safely()
    import transformers

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return transformers


def make_predictor(architecture: Architecture, seed: int = 0) -> EmotionPredictor:
    """One of random weights."""
    transformers = _transformers()
    cls: Any = transformers.ResNetForImageClassification
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = cls(
            transformers.ResNetConfig(
                hidden_sizes=list(architecture.hidden_sizes),
                depths=list(architecture.depths),
                embedding_size=architecture.embedding_size,
                layer_type="basic",
                id2label=dict(enumerate(MIKELS_EIGHT)),
                label2id={name: index for index, name in enumerate(MIKELS_EIGHT)},
            )
        )
    return EmotionPredictor(network=network.eval(), side=architecture.side)


def open_predictor(folder: Path, device: Any = "cpu") -> EmotionPredictor:
    """A ResNet of transformers whose eight labels are Mikels'; EditError where the folder holds none."""
    cls: Any = _transformers().ResNetForImageClassification
    try:
        network: Any = cls.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        labels = [str(network.config.id2label[index]).casefold() for index in range(network.config.num_labels)]
        preprocessor = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
        side = int(preprocessor["size"]["height"])
        temperature = float(getattr(network.config, _TEMPERATURE, 1.0))
    except Exception as error:  # transformers raises anything from OSError to safetensors' own errors
        raise EditError(f"{folder} cannot be read as an emotion predictor: {str(error)[:200]}") from error
    if tuple(labels) != MIKELS_EIGHT:
        raise EditError(
            f"the predictor in {folder} tells {', '.join(labels)} apart; remedy: one whose config.json names "
            f"{', '.join(MIKELS_EIGHT)}, in this order"
        )
    if preprocessor.get("do_normalize"):
        raise EditError(f"the predictor in {folder} wants normalised pictures; remedy: one trained on [0, 1]")
    if not 0 < temperature < float("inf"):
        raise EditError(f"the predictor in {folder} has a temperature of {temperature}; it must lie above 0")
    return EmotionPredictor(network=network.to(device).eval().requires_grad_(False), side=side, temperature=temperature)


def fit_temperature(logits: Tensor, classes: Sequence[int] | Tensor) -> float:
    """The temperature with the least cross-entropy on held-out rows (Guo et al. 2017), between 0.05 and 20.

    ``logits`` is [N, 8]. Labels are smoothed by 1 / (N + 1): rows that are all right would ask for endless confidence,
    and N of them are no proof of more than N in N + 1. The loss is convex in 1 / T, so that a bounded search finds its
    minimum.
    """
    from scipy.optimize import minimize_scalar

    given, wanted = logits.double(), torch.as_tensor(classes, dtype=torch.long)
    smoothing = 1 / (len(wanted) + 1)

    def loss(log_temperature: float) -> float:
        scaled = given / exp(log_temperature)
        return float(nn.functional.cross_entropy(scaled, wanted, label_smoothing=smoothing))

    result = minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded", options={"xatol": 1e-4})
    return exp(float(result.x))
