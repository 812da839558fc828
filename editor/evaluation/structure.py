"""Structure distance: how far the self-similarity of DINO's keys moves (Tumanyan et al. 2022; the PnP benchmark)."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from editor.evaluation.frames import Frames, Pixels
from editor.evaluation.measure import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    Column,
    Values,
    Weights,
    device,
    imports,
    loaded,
    weights_digest,
)
from moodarchive.errors import EditError

DINO = "facebook/dino-vitb8"
WEIGHTS = Weights(
    what="DINO ViT-B/8, for the structure distance",
    licence="Apache-2.0",
    size="343 MB",
    get=f"--dino with the hub id {DINO} on a machine with internet, or a folder that holds a copy of it",
)
LAYER = 11
SHORT_SIDE, MOST_SIDE = 224, 480
_SCALES = (1.0, 1 / 255)


@dataclass(eq=False)
class Structure:
    """Mean squared difference of the two [tokens, tokens] cosine matrices of layer 11's keys, heads side by side.

    The benchmark's public code hands DINO pixel values of 0 to 255 where the network was trained on 0 to 1. Published
    tables come from that code, so ``structure`` does the same; ``structure_unit`` is the distance of values 0 to 1.
    """

    model: str = DINO
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="structure", title="Structure distance ×10³", short="distance ×10³", better="lower", scale=1e3),
        Column(
            name="structure_unit",
            title="Structure distance ×10³, pixels 0 to 1",
            short="distance 0-1 ×10³",
            better="lower",
            scale=1e3,
        ),
    )
    _network: Any = field(default=None, repr=False)
    _keys: list[Any] = field(default_factory=list, repr=False)
    _source: tuple[str, list[Any]] = ("", [])

    def load(self) -> str:
        """The network, with an ear at the keys of layer 11."""
        torch, _ = imports()
        network = loaded(WEIGHTS, "ViTModel", self.model, add_pooling_layer=False)
        # the projection's name changed between versions of transformers
        keys = [part for name, part in network.named_modules() if name.endswith((".k_proj", "attention.key"))]
        if len(keys) <= LAYER:
            raise EditError(f"--dino {self.model} has {len(keys)} layers; remedy: a ViT of {LAYER + 1}, as {DINO}")
        keys[LAYER].register_forward_hook(lambda module, given, output: self._keys.append(output))
        self._network = network.to(device(), torch.float32).eval()
        return weights_digest("structure 1", network.state_dict())

    def of(self, frames: Frames) -> Values:
        """Of pixels 0 to 255, and of pixels 0 to 1."""
        if self._source[0] != frames.source_sha256:  # a source stands in 27 rows, one after the other
            self._source = frames.source_sha256, [self._similarity(frames.source, scale) for scale in _SCALES]
        edited = [self._similarity(frames.edited, scale) for scale in _SCALES]
        return tuple(float(((a - b) ** 2).mean()) for a, b in zip(edited, self._source[1], strict=True))

    def _similarity(self, pixels: Pixels, scale: float) -> Any:
        """[tokens, tokens] cosines, the class token among them."""
        import torch
        from torchvision.transforms.functional import normalize, resize

        where = next(self._network.parameters()).device
        given = torch.from_numpy(pixels).to(where).permute(2, 0, 1).float() * scale
        short, long = sorted(given.shape[1:])
        # the limit on the longer side would be met by rounding anyway, and is refused where both sides are equal
        most = MOST_SIDE if long * SHORT_SIDE > MOST_SIDE * short else None
        given = normalize(resize(given, SHORT_SIDE, max_size=most, antialias=True), IMAGENET_MEAN, IMAGENET_DEVIATION)
        self._keys.clear()
        with torch.inference_mode():
            self._network(given[None], interpolate_pos_encoding=True)
            keys = self._keys.pop()[0]
            length = keys.norm(dim=1, keepdim=True)
            return (keys @ keys.T) / (length @ length.T).clamp(min=1e-8)
