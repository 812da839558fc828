"""FID (Heusel et al. 2017) between sources and edits, by torchvision's Inception v3."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from editor.evaluation.frames import Pixels, read_frames
from editor.evaluation.measure import IMAGENET_DEVIATION, IMAGENET_MEAN, Weights, device, imports, read_state
from editor.evaluation.pairs import Pair
from moodarchive.errors import EditError

WEIGHTS = Weights(
    what="Inception v3 as trained on ImageNet, for FID",
    licence="BSD-3-Clause",
    size="104 MB",
    get="--inception with torchvision's file inception_v3_google-0cc3c7bd.pth, or a folder that holds it",
)
SIDE = 299


@dataclass
class Frechet:
    """FID of some pairs; a picture's features are computed once. MissingWeightsError where the weights cannot be read.

    The network is torchvision's, whose pooled 2,048 features are not those of the 2015 network that most papers take:
    figures of one network compare with each other.
    """

    weights: str
    _features: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False)
    _network: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        imports()
        from torchvision.models import inception_v3

        try:
            network: Any = inception_v3(weights=None, init_weights=False, aux_logits=True, transform_input=False)
            network.load_state_dict(read_state(Path(self.weights).expanduser(), "--inception"))
        except EditError:
            raise
        except Exception as error:  # torch and its unpickler raise anything
            raise WEIGHTS.missing(self.weights, error) from error
        import torch

        network.fc = torch.nn.Identity()
        self._network = network.to(device()).eval()

    def distance(self, folder: Path, pairs: Sequence[Pair]) -> float | None:
        """Between the pairs' sources and edits; None for fewer than two."""
        if len(pairs) < 2:
            return None
        for pair in pairs:
            self._add(folder, pair)
        return frechet_distance(
            [self._features["source", pair.source] for pair in pairs],
            [self._features["edited", pair.edited] for pair in pairs],
        )

    def _add(self, folder: Path, pair: Pair) -> None:
        sides = {("source", pair.source), ("edited", pair.edited)} - self._features.keys()
        if not sides:
            return
        frames = read_frames(folder, pair)
        for side, name in sides:
            self._features[side, name] = self._feature(frames.source if side == "source" else frames.edited)

    def _feature(self, pixels: Pixels) -> Any:
        import torch
        from torch.nn.functional import interpolate

        taken = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(device()).float() / 255
        taken = interpolate(taken, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
        mean, deviation = (
            torch.tensor(values, device=taken.device)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_DEVIATION)
        )
        with torch.inference_mode():
            return self._network((taken - mean) / deviation)[0].cpu()


def frechet_distance(real: Iterable[Any], fake: Iterable[Any]) -> float:
    """torchmetrics' between two sets of feature vectors, at least two of each."""
    import torch

    imports()
    from torchmetrics.image.fid import FrechetInceptionDistance

    both = torch.stack(list(real)).double(), torch.stack(list(fake)).double()
    network: Any = torch.nn.Identity()
    network.num_features = both[0].shape[1]
    metric: Any = FrechetInceptionDistance(feature=network)
    for features, is_real in zip(both, (True, False), strict=True):
        metric.update(features, real=is_real)
    return max(0.0, float(metric.compute()))
