"""LPIPS of the background (Zhang et al. 2018), with SqueezeNet as its eye."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from editor.evaluation.background import background
from editor.evaluation.frames import Frames
from editor.evaluation.measure import Column, Values, Weights, device, imports, weights_digest
from moodarchive.errors import EditError

WEIGHTS = Weights(
    what="SqueezeNet 1.1 as trained on ImageNet, for LPIPS",
    licence="BSD-3-Clause",
    size="4.7 MB",
    get="--lpips with torchvision's file squeezenet1_1-b8a52dc0.pth, or a folder that holds it",
)
_ENDINGS = (".pth", ".pt", ".safetensors")


@dataclass(eq=False)
class Lpips:
    """torchmetrics' LPIPS with its own linear heads; only the backbone's weights are not part of that package.

    ``backbone`` is their file or folder; empty takes torchvision's, which are downloaded once.
    """

    backbone: str = ""
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="lpips", title="Background LPIPS ×10³", short="LPIPS ×10³", better="lower", scale=1e3, decimals=1),
    )
    _network: Any = field(default=None, repr=False)

    def load(self) -> str:
        """The heads, and the backbone's layers put where torchmetrics would have put downloaded ones."""
        imports()
        from torchmetrics.functional.image.lpips import _NoTrainLpips

        features = self._features()
        network: Any = _NoTrainLpips(net="squeeze", pnet_rand=True)
        for piece in network.net.slices:
            for name, layer in piece.named_children():
                layer.load_state_dict(features[int(name)].state_dict())
        self._network = network.to(device()).eval()
        return weights_digest("lpips 1", network.state_dict())

    def of(self, frames: Frames) -> Values:
        """One distance, or none where there is no background."""
        import torch

        pixels = background(frames)
        if pixels is None:
            return (None,)
        with torch.inference_mode():
            return (float(self._network(*pixels, normalize=True)),)

    def _features(self) -> Any:
        from torchvision.models import squeezenet1_1

        try:
            if not self.backbone:
                return squeezenet1_1(weights="DEFAULT", progress=False).features
            network = squeezenet1_1(weights=None)
            network.load_state_dict(self._read(Path(self.backbone)))
        except EditError:
            raise
        except Exception as error:  # downloads, torch and its unpickler raise anything
            raise WEIGHTS.missing(self.backbone, error) from error
        return network.features

    def _read(self, path: Path) -> Any:
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix in _ENDINGS)
            if len(files) != 1:
                raise EditError(f"--lpips {path} holds {len(files)} files of weights; remedy: name one")
            path = files[0]
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        import torch

        return torch.load(path, map_location="cpu", weights_only=True)
