"""LPIPS of the background and of the whole picture (Zhang et al. 2018), with SqueezeNet as its eye."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from editor.evaluation.background import background, whole
from editor.evaluation.frames import Frames
from editor.evaluation.measure import Column, Values, Weights, device, imports, read_state, weights_digest
from moodarchive.errors import EditError

WEIGHTS = Weights(
    what="SqueezeNet 1.1 as trained on ImageNet, for LPIPS",
    licence="BSD-3-Clause",
    size="4.7 MB",
    get="--lpips with torchvision's file squeezenet1_1-b8a52dc0.pth, or a folder that holds it",
)


@dataclass(eq=False)
class Lpips:
    """torchmetrics' LPIPS with its own linear heads; only the backbone's weights are not part of that package.

    ``backbone`` is their file or folder; empty takes torchvision's, which are downloaded once.
    """

    backbone: str = ""
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="lpips", title="Background LPIPS ×10³", short="LPIPS ×10³", better="lower", scale=1e3, decimals=1),
        Column(name="lpips_whole", title="LPIPS, whole picture", short="LPIPS, whole", better="lower", decimals=3),
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
        return weights_digest("lpips 2", network.state_dict())

    def of(self, frames: Frames) -> Values:
        """Of the background, None where there is none; of source and edit as they are."""
        outside = background(frames)
        return None if outside is None else self._distance(*outside), self._distance(*whole(frames))

    def _distance(self, edited: Any, source: Any) -> float:
        import torch

        with torch.inference_mode():
            return float(self._network(edited, source, normalize=True))

    def _features(self) -> Any:
        from torchvision.models import squeezenet1_1

        try:
            if not self.backbone:
                return squeezenet1_1(weights="DEFAULT", progress=False).features
            network = squeezenet1_1(weights=None)
            network.load_state_dict(read_state(Path(self.backbone), "--lpips"))
        except EditError:
            raise
        except Exception as error:  # downloads, torch and its unpickler raise anything
            raise WEIGHTS.missing(self.backbone, error) from error
        return network.features
