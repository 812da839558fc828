"""The latents of pairs of pictures, made once and kept on disk."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from train.diffusion.pictures import to_signed

_ENCODED_AT_ONCE = 16
Side = Literal["source", "target"]


class PicturePairs(Protocol):
    """Pairs of square pictures of one size."""

    @property
    def name(self) -> str:
        """Names all of them: equal names mean equal pictures."""
        ...

    def __len__(self) -> int: ...

    def pixels(self, side: Side, rows: Sequence[int]) -> Tensor:
        """uint8 [rows, 3, size, size]."""
        ...


@torch.inference_mode()
def encode_pairs(vae: Any, pairs: PicturePairs, cache: Path) -> npt.NDArray[np.float32]:
    """float32 [N, 2, 2, 4, h, w]: source and target, mean and deviation of each; kept in ``cache`` and read from there.

    A cache of other pairs, another size or another VAE is made anew.
    """
    identity = f"{pairs.name}; {_digest(vae)}"
    path, mark = cache / "latents.npy", cache / "latents.json"
    if mark.is_file() and path.is_file() and json.loads(mark.read_text()) == identity:
        return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]
    cache.mkdir(parents=True, exist_ok=True)
    mark.unlink(missing_ok=True)
    device = next(vae.parameters()).device
    kept: npt.NDArray[np.float32] | None = None
    for first in range(0, len(pairs), _ENCODED_AT_ONCE):
        rows = range(first, min(first + _ENCODED_AT_ONCE, len(pairs)))
        spreads = [
            vae.encode(to_signed(pairs.pixels(side, rows)).to(device)).latent_dist for side in ("source", "target")
        ]
        moments = torch.stack([torch.stack([spread.mean, spread.std], 1) for spread in spreads], 1).float().cpu()
        if kept is None:
            open_memmap: Any = np.lib.format.open_memmap
            shape = (len(pairs), *moments.shape[1:])
            kept = open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        kept[first : first + len(rows)] = moments.numpy()
    assert kept is not None
    kept.flush()  # type: ignore[attr-defined]
    mark.write_text(json.dumps(identity))
    return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]


def _digest(model: nn.Module) -> str:
    import hashlib

    taken = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        taken.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return taken.hexdigest()[:16]
