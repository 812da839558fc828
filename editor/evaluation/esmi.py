"""ESMI (EmoEditor, arXiv 2403.08255): did the picture come nearer to an emotion by changing what evoked another?"""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from editor.evaluation.frames import Frames, Pixels
from editor.evaluation.grad_cam import Heat, logits_and_heat
from editor.evaluation.measure import Column, Values, Weights, device, imports, loaded, weights_digest
from moodarchive.emotions.taxonomy import MIKELS, MIKELS_EIGHT, MIKELS_POSITIVE
from moodarchive.errors import EditError

WEIGHTS = Weights(
    what="a convolutional classifier of Mikels' eight emotions, for ESMI",
    licence="the one of the classifier that you choose",
    size="about 100 MB (ResNet-50)",
    get="--emotions with a transformers folder or hub id, its labels named; EmoEditor's authors publish theirs with "
    "their code, to be saved as a ResNetForImageClassification",
)
SIDE, ALPHA, HOT = 224, 0.5, 0.5


@dataclass(eq=False)
class Esmi:
    """ESMI, its halves, the wanted emotion's probability and whether it is the likeliest; None without a Mikels class.

    EmoEditor's tables are of pairs across valences: the source's likeliest class is pleasant and the wanted emotion is
    not, or the other way round. ``esmi_across`` is of these alone; so is ``esmi_people``, with what people marked in
    place of Grad-CAM.

    Pictures are shrunk to 224 x 224 as in the paper, then scaled as the classifier's own processor says.
    """

    model: str = ""
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="esmi", title="ESMI ×10²", short="ESMI ×10²", better="higher", scale=1e2),
        Column(
            name="esmi_emotion",
            title="ESMI's emotion half ×10²",
            short="ESMI, emotion ×10²",
            better="higher",
            scale=1e2,
        ),
        Column(
            name="esmi_structure",
            title="ESMI's structure half ×10²",
            short="ESMI, structure ×10²",
            better="higher",
            scale=1e2,
        ),
        Column(
            name="target_probability",
            title="Probability of the emotion ×10²",
            short="probability ×10²",
            better="higher",
            scale=1e2,
        ),
        Column(
            name="esmi_across",
            title="ESMI across valences ×10²",
            short="ESMI ×10²",
            better="higher",
            scale=1e2,
        ),
        Column(
            name="esmi_people",
            title="ESMI across valences, people's marks ×10²",
            short="ESMI, people ×10²",
            better="higher",
            scale=1e2,
        ),
        Column(
            name="emotion_named",
            title="Accuracy of the emotion ×10²",
            short="accuracy ×10²",
            better="higher",
            scale=1e2,
        ),
    )
    _network: Any = field(default=None, repr=False)
    _processor: Any = field(default=None, repr=False)
    _classes: dict[str, int] = field(default_factory=dict, repr=False)
    _source: tuple[str, tuple[Any, Heat] | None] = ("", None)

    def load(self) -> str:
        """The classifier, and which of its classes are Mikels' eight."""
        torch, _ = imports()
        if not self.model:
            raise WEIGHTS.missing("", "ESMI has no classifier of its own")
        self._processor = loaded(WEIGHTS, "AutoImageProcessor", self.model)
        network = loaded(WEIGHTS, "AutoModelForImageClassification", self.model)
        classes = {str(name).casefold(): int(index) for index, name in network.config.id2label.items()}
        if missing := [emotion for emotion in MIKELS_EIGHT if emotion not in classes]:
            raise EditError(
                f"--emotions {self.model} knows no class {', '.join(missing)}; remedy: name the classes as "
                f"{', '.join(MIKELS_EIGHT)} in its config.json (id2label)"
            )
        self._classes = {emotion: classes[emotion] for emotion in MIKELS_EIGHT}
        self._network = network.to(device(), torch.float32).eval()
        scaling = self._processor.to_dict()
        preparation = [scaling.get(name) for name in ("do_rescale", "do_normalize", "image_mean", "image_std")]
        return weights_digest(f"esmi 2 {self._classes} {preparation}", network.state_dict())

    def of(self, frames: Frames) -> Values:
        """In the columns' order."""
        wanted = MIKELS.get(frames.emotion, frames.emotion)
        if wanted not in self._classes:
            return (None,) * len(self.columns)
        source, edited = _small(frames.source), _small(frames.edited)
        if self._source[0] != frames.source_sha256:
            self._source = frames.source_sha256, logits_and_heat(self._network, self._pixels(source))
        assert self._source[1] is not None
        before, heat = self._source[1]
        after = self._network(pixel_values=self._pixels(edited)).logits[0].detach()
        index = self._classes[wanted]
        likely = _surprise(after, index)
        emotion = emotion_half(_surprise(before, index), likely)
        structure = structure_half(source, edited, heat)
        esmi = ALPHA * emotion + (1 - ALPHA) * structure
        across, people = None, None
        if self._crosses(before, wanted):
            across = esmi
            if frames.marked is not None:
                people = ALPHA * emotion + (1 - ALPHA) * structure_half(source, edited, _small_heat(frames.marked))
        named = float(self._likeliest(after) == wanted)
        return esmi, emotion, structure, math.exp(-likely), across, people, named

    def _crosses(self, before: Any, wanted: str) -> bool:
        """Whether the source's likeliest class of the eight is of the other valence than the wanted one."""
        own = self._likeliest(before)
        return (own in MIKELS_POSITIVE) != (wanted in MIKELS_POSITIVE)

    def _likeliest(self, logits: Any) -> str:
        return max(self._classes, key=lambda name: float(logits[self._classes[name]]))

    def _pixels(self, pixels: Pixels) -> Any:
        given = self._processor(images=[pixels], do_resize=False, do_center_crop=False, return_tensors="pt")
        return given["pixel_values"].to(next(self._network.parameters()).device)


def emotion_half(before: float, after: float) -> float:
    """max(0, before - after) / before, of the divergences KL(one-hot || p) = -ln p of the wanted emotion.

    A source that already is all of it scores 1 if the edited picture is too, else 0.
    """
    if before <= 0:
        return 1.0 if after <= 0 else 0.0
    return max(0.0, before - after) / before


def structure_half(source: Pixels, edited: Pixels, heat: Heat) -> float:
    """The share of the absolute change that lies where the heat is above 0.5; 1 for an unchanged picture."""
    change = np.abs(source.astype(np.int64) - edited.astype(np.int64)).sum(axis=2)
    return float(change[heat > HOT].sum() / change.sum()) if change.any() else 1.0


def _surprise(logits: Any, index: int) -> float:
    """-ln of the class's probability, in double precision."""
    return max(0.0, float(-logits.double().log_softmax(-1)[index]))


def _small_heat(marked: Heat) -> Heat:
    return np.asarray(Image.fromarray(marked).resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32)


def _small(pixels: Pixels) -> Pixels:
    return np.array(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.uint8)
