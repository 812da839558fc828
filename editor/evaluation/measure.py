"""What every measure offers, the columns it fills, and what is told of weights that are not there."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from editor.evaluation.frames import Frames
from moodarchive.errors import EditError, MissingExtraError, MissingWeightsError, ServiceError
from moodarchive.models.hub import download

Values = tuple[float | None, ...]
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pictures in [0, 1], which networks that were trained on it take off."""
_ENDINGS = (".pth", ".pt", ".safetensors")
_UNREADABLE = (OSError, ValueError, KeyError, RuntimeError)


@dataclass(frozen=True, kw_only=True)
class Column:
    """One figure of a pair: stored as computed, shown times ``scale``."""

    name: str
    title: str
    short: str
    better: Literal["lower", "higher"]
    scale: float = 1.0
    decimals: int = 2

    def shown(self, value: float | None) -> str:
        """The figure as the papers print it; empty where there is none."""
        return "" if value is None else f"{value * self.scale:.{self.decimals}f}"


class Measure(Protocol):
    """Computes some columns of a pair; its weights are loaded once."""

    columns: ClassVar[tuple[Column, ...]]

    def load(self) -> str:
        """Loads the weights and names them, with the definition, by a digest; MissingWeightsError or EditError."""
        ...

    def of(self, frames: Frames) -> Values:
        """One value a column; None where the measure is not defined for the pair."""
        ...


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights that somebody else publishes."""

    what: str
    licence: str
    size: str
    get: str

    def missing(self, given: str, why: object) -> MissingWeightsError:
        """The error that tells what is missing and how to get it."""
        return MissingWeightsError(
            f"{self.what}: {given or 'no weights named'} ({' '.join(str(why).split())[:160]}); remedy: {self.get}; "
            f"licence {self.licence}, {self.size}"
        )


def loaded(weights: Weights, kind: str, given: str, **options: Any) -> Any:
    """A transformers class's ``from_pretrained`` of a folder or hub id: from this machine first, then from the hub."""
    _, transformers = imports()
    known: type[Any] = getattr(transformers, kind)
    try:
        return known.from_pretrained(given, local_files_only=True, **options)
    except _UNREADABLE as error:
        if Path(given).is_dir() or given.startswith(("/", ".", "~")) or given.count("/") > 1:
            raise weights.missing(given, error) from error
    try:
        download(given, ("*.json", "*.txt"))  # which finds out within seconds whether the hub can be reached
        return known.from_pretrained(given, **options)
    except (*_UNREADABLE, ServiceError) as error:
        raise weights.missing(given, error) from error


def imports() -> tuple[Any, Any]:
    """torch and transformers, with every pass exact and repeatable; MissingExtraError names the extra."""
    try:
        import torch

        from moodarchive.models.torch_compat import import_torchvision_safely

        import_torchvision_safely()
        import torchmetrics  # noqa: F401
        import transformers
    except ImportError as error:
        raise MissingExtraError(error.name or "torch", "editor") from error
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    return torch, transformers


def device() -> Any:
    """The GPU if there is one."""
    torch, _ = imports()
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def read_state(path: Path, option: str) -> Any:
    """The tensors of a file, or of a folder's only one; no code of the file is run. EditError for several files."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in _ENDINGS)
        if len(files) != 1:
            raise EditError(f"{option} {path} holds {len(files)} files of weights; remedy: name one")
        path = files[0]
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def weights_digest(definition: str, state: Mapping[str, Any]) -> str:
    """16 hex digits of the definition's name and of every tensor, whatever file held it."""
    import torch

    taken = hashlib.sha256(definition.encode())
    for name, tensor in sorted(state.items()):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        taken.update(f"\0{name} {tensor.dtype} {list(tensor.shape)}\0".encode())
        if flat.numel():
            taken.update(flat.view(torch.uint8).numpy().data)
    return taken.hexdigest()[:16]
