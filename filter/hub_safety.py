"""Any image classifier of the transformers hub, or of a folder, as a judge of what is not safe for work."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from moodarchive.errors import ConfigError, MissingExtraError, ServiceError, StageError
from moodarchive.models.device import choose_device, explain_device_errors
from moodarchive.models.hub import REMEDY, from_cache_first


@dataclass(frozen=True)
class HubClassifier:
    """``model``: a name on the hub or a folder; a picture is as unsafe as its ``unsafe_labels`` together are likely.

    A pass has ``rows`` pictures, the missing ones filled up, because kernels choose their order of summation by the
    shapes: a picture's value is then the same, to the bit, whichever are beside it.
    """

    model: str
    unsafe_labels: tuple[str, ...]
    threads: int = 1
    rows: int = 16

    @cached_property
    def _loaded(self) -> tuple[Any, Any, list[int], Any]:
        """Processor, network, the indices of the unsafe labels, device. ConfigError names what does not fit."""
        torch, transformers = _imports()
        torch.set_num_threads(self.threads)
        device = choose_device()
        is_path = self.model.startswith(("/", ".", "~")) or Path(self.model).is_dir()
        try:
            processor, network = from_cache_first(
                "" if is_path else self.model,
                lambda: (
                    transformers.AutoImageProcessor.from_pretrained(self.model),
                    transformers.AutoModelForImageClassification.from_pretrained(self.model),
                ),
            )
        except (ServiceError, OSError, ValueError, KeyError, RuntimeError) as error:
            raise ConfigError(
                f"safety.model = {self.model!r} cannot be loaded: {str(error)[:200]}; remedy: {REMEDY}, a folder that "
                "holds an image classifier, or opennsfw"
            ) from error
        labels = {str(name).casefold(): int(index) for index, name in network.config.id2label.items()}
        indices = sorted(labels[name.casefold()] for name in self.unsafe_labels if name.casefold() in labels)
        if not indices:
            raise ConfigError(
                f"safety.unsafe_labels = {list(self.unsafe_labels)}: {self.model} knows none of them; remedy: choose "
                f"from {', '.join(sorted(labels))}"
            )
        return processor, network.to(device).eval(), indices, device

    def load(self) -> None:
        """Fails now if the model cannot be used."""
        self._loaded  # noqa: B018

    def unsafe(self, pictures: Sequence[Image.Image]) -> list[float]:
        """Each picture's probability of not safe for work, 0 to 1."""
        return [
            value
            for first in range(0, len(pictures), self.rows)
            for value in self._pass(pictures[first : first + self.rows])
        ]

    def _pass(self, pictures: Sequence[Image.Image]) -> list[float]:
        import torch

        processor, network, indices, device = self._loaded
        pixels = processor(images=[picture.convert("RGB") for picture in pictures], return_tensors="pt")
        missing = self.rows - len(pictures)
        with explain_device_errors(StageError, f"a batch of {self.rows} pictures", "safety.gpus_per_worker = 0"):
            filled = {
                name: torch.cat([values, values[-1:].expand(missing, *values.shape[1:])]).to(device)
                for name, values in pixels.items()
            }
            with torch.inference_mode():
                likely = network(**filled).logits.float().softmax(-1).cpu().numpy()
        return [float(value) for value in likely[: len(pictures), indices].sum(-1)]


def _imports() -> tuple[Any, Any]:
    try:
        import torch

        from moodarchive.models.torch_compat import import_torchvision_safely

        import_torchvision_safely()
        import transformers
    except ImportError as error:
        raise MissingExtraError("transformers", "hub") from error
    return torch, transformers
