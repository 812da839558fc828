"""Edits in the drawn world, where the true answer is known: cases, methods and figures."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from editor.edit import Edit, EditSettings, Mask, Method, default_settings
from editor.loading import load_method
from editor.methods.base import Base
from editor.methods.baselines import ColourTransfer
from editor.methods.canvas import to_bytes, to_image, to_pixels
from editor.methods.similarity import grey_ssim
from moodarchive.diffusion.predictor import EmotionPredictor
from pipelines.demo.bundled_base import SETTINGS
from pipelines.demo.pairs.drawing import KINDS, PAIRED_EMOTIONS, PairedScene, draw_local, draw_paired, local_region
from pipelines.demo.pairs.generators import Generators
from pipelines.demo.pairs.judge import name_emotions
from pipelines.demo.pairs.moods import Mood

CASE_SEEDS = 10_000
"""Places of the cases have seeds from here up, below all that was trained on."""
REFERENCE_SEEDS = 20_000_000
CROWD_SEEDS = 30_000_000
CROWD = 100
"""Places among which the edited one is looked for."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A drawing, the emotion it shall evoke, and the true answer; ``mask`` where a part alone shall change."""

    source: PairedScene
    target: PairedScene
    mask: Mask | None = None

    @property
    def emotion(self) -> str:
        return self.target.mood.emotion

    def edit(self, seed: int, described: bool) -> Edit:
        """What an editor is given; ``described``: also what the drawing shows now."""
        return Edit(
            image=self.source.image,
            prompt=_prompt(self.target),
            source_prompt=_prompt(self.source) if described else "",
            mask=self.mask,
            emotion=self.emotion,
            seed=seed,
        )


def draw_cases(count: int, seed: int, *, local: bool = False, size: int = 64) -> list[Case]:
    """``count`` unseen places of all kinds in turn, each from one mood to another; ``local``: of a part alone."""
    cases = []
    for index in range(count):
        kind, place = KINDS[index % len(KINDS)], CASE_SEEDS + seed * 100_000 + index
        rng = Generators(f"case/{kind}/{place}").of("moods")
        now, then = rng.sample(PAIRED_EMOTIONS, 2)
        rest, mood = Mood(now, rng.randrange(1 << 30)), Mood(then, rng.randrange(1 << 30))
        source = draw_paired(kind, place, rest, size)
        if local:
            region = np.asarray(local_region(kind, place, size))
            mask: Mask = (region > 0).astype(np.float32)
            cases.append(Case(source=source, target=draw_local(kind, place, mood, rest, size), mask=mask))
        else:
            cases.append(Case(source=source, target=draw_paired(kind, place, mood, size)))
    return cases


def open_methods(base: Path, model: Path, settings: Mapping[str, object] | None = None) -> dict[str, Method]:
    """Moodifier, plain inversion-free editing and SDEdit on a base, and colour transfer, by name."""
    methods: dict[str, Method] = {}
    for name, own in SETTINGS.items():
        chosen: EditSettings = default_settings(name).model_copy(update={"batch": 16, **own, **(settings or {})})
        methods[name] = load_method(name, str(base), str(model) if name == "moodifier" else None, chosen)
    methods["colour-transfer"] = ColourTransfer(draw_references())
    return methods


def draw_references(count: int = 6, size: int = 64) -> dict[str, list[Image.Image]]:
    """Drawings of other places by emotion, whose colours colour transfer takes."""
    return {
        emotion: [
            draw_paired(KINDS[index % len(KINDS)], REFERENCE_SEEDS + index, Mood(emotion, index), size).image
            for index in range(count)
        ]
        for emotion in PAIRED_EMOTIONS
    }


def edit_cases(method: Method, cases: Sequence[Case], seed: int, *, described: bool = True) -> list[Image.Image]:
    """The edits, in the cases' order."""
    edits = [case.edit(seed, described) for case in cases]
    return method.edit(edits, lambda done, total: None, lambda: False)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One method's figures, a row a case."""

    named: npt.NDArray[np.float64]
    """1 where the judge names the target."""
    psnr: npt.NDArray[np.float64]
    """To the true answer, dB."""
    ssim: npt.NDArray[np.float64]
    """To the true answer."""
    found: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """1 where the nearest of 100 places in the target's mood is the right one."""

    @staticmethod
    def join(parts: Sequence["Scores"]) -> "Scores":
        """The rows of several runs."""
        names = ("named", "psnr", "ssim", "found")
        return Scores(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def score(
    judge: EmotionPredictor, cases: Sequence[Case], images: Sequence[Image.Image], crowd: "Crowd | None" = None
) -> Scores:
    """The figures of edits of the cases."""
    named = name_emotions(judge, images)
    pairs = list(zip(cases, images, strict=True))
    return Scores(
        named=np.array([float(name == case.emotion) for name, case in zip(named, cases, strict=True)]),
        psnr=np.array([psnr(image, case.target.image) for case, image in pairs]),
        ssim=np.array([ssim(image, case.target.image) for case, image in pairs]),
        found=np.array([float(crowd.finds(case, image)) for case, image in pairs] if crowd else []),
    )


class Crowd:
    """Other places of each kind in each mood, among which an edit's own is looked for."""

    def __init__(self, size: int = 64) -> None:
        self._size = size
        self._others: dict[tuple[str, str], npt.NDArray[np.float32]] = {}

    def finds(self, case: Case, image: Image.Image) -> bool:
        """Whether the right place is nearest in mean squared error; none shares the extras of the true answer."""
        kind, emotion = case.target.kind, case.emotion
        own = draw_paired(kind, case.target.place_seed, Mood(emotion, CROWD_SEEDS - 1), self._size).image
        edited = np.asarray(image, dtype=np.float32)
        others = np.square(self._of(kind, emotion) - edited).mean(axis=(1, 2, 3))
        return bool(np.square(np.asarray(own, dtype=np.float32) - edited).mean() < others.min())

    def _of(self, kind: str, emotion: str) -> npt.NDArray[np.float32]:
        if (kind, emotion) not in self._others:
            seeds = range(CROWD_SEEDS, CROWD_SEEDS + CROWD - 1)
            drawn = [draw_paired(kind, seed, Mood(emotion, seed), self._size).image for seed in seeds]
            self._others[kind, emotion] = np.stack([np.asarray(one, dtype=np.float32) for one in drawn])
        return self._others[kind, emotion]


def psnr(one: Image.Image, other: Image.Image, where: npt.NDArray[np.bool_] | None = None) -> float:
    """Signal to noise in dB, of the pixels ``where`` is true; at most 99."""
    error = np.square(np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64))
    mean = float((error if where is None else error[where]).mean())
    return 99.0 if mean == 0 else min(99.0, 10 * float(np.log10(255**2 / mean)))


def ssim(one: Image.Image, other: Image.Image) -> float:
    """Structural similarity of greys (Wang et al. 2004) in windows of 11 pixels."""
    return grey_ssim(np.asarray(one), np.asarray(other), 11)


def rebuild(base: Base, image: Image.Image) -> Image.Image:
    """What the autoencoder makes of a picture."""
    return to_image(to_bytes(base.decode(base.encode(to_pixels(image)))[0]))


def kept_outside(case: Case, edited: Image.Image, rebuilt: Image.Image) -> tuple[float, float]:
    """PSNR to the source of the edit, and of the autoencoder's own rebuilding, where the true answer is the source."""
    equal = ~(np.asarray(case.mask) > 0)
    return psnr(edited, case.source.image, equal), psnr(rebuilt, case.source.image, equal)


def standard_error(values: npt.NDArray[np.float64]) -> float:
    """Of the mean."""
    return float(values.std(ddof=1) / sqrt(len(values))) if len(values) > 1 else float("nan")


def digest_of(images: Sequence[Image.Image]) -> str:
    """Names the bytes of pictures."""
    return hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()[:16]


def _prompt(scene: PairedScene) -> str:
    return f"{scene.caption}. A photo that evokes {scene.mood.emotion}."
