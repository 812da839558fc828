"""A run on real photographs, their themes as texts: it learns them by heart; unseen ones stand beside chance.

MOODARCHIVE_PHOTOS names the folder; its photos.csv has the columns file, theme and valence_mean. The table goes to
stderr, the claims to stdout.
"""

import argparse
import csv
import io
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
from PIL import Image  # noqa: E402

from moodarchive.models.clip import ClipEncoder  # noqa: E402
from moodarchive.storage.store import Store  # noqa: E402
from pipelines.demo.bundled import CLIP  # noqa: E402
from pipelines.demo.made_archive import Caption, Made, seal_made  # noqa: E402
from train.loop import train  # noqa: E402
from train.settings import TrainSettings  # noqa: E402

LONGEST_SIDE = 160
HELD_OUT_FROM = 3
"""Of a theme with so many photographs or more, one is held out."""
BAR = 95.0


@dataclass(frozen=True)
class Photograph:
    """A file, what it shows, and how pleasant about a hundred people found it (1 to 7)."""

    path: Path
    theme: str
    valence: float
    held_out: bool

    def sample(self) -> Made:
        """Small, with its theme as caption; nobody has told its stimuli."""
        image = Image.open(self.path).convert("RGB")
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        packed = io.BytesIO()
        image.save(packed, "JPEG", quality=92)
        caption = Caption(summary=text_of(self.theme), stimuli=(), assessment="")
        split = "heldout" if self.held_out else "train"
        return Made(name=self.path.name, jpeg=packed.getvalue(), caption=caption, split=split)


def text_of(theme: str) -> str:
    """What stands for a theme."""
    return f"a photograph of {theme}"


def photographs(folder: Path) -> list[Photograph]:
    """Every row of photos.csv; the last file of each larger theme is held out."""
    with (folder / "photos.csv").open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["file"])
    by_theme: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        by_theme[row["theme"].lower()].append(row)
    return [
        Photograph(folder / row["file"], theme, float(row["valence_mean"]), len(of) >= HELD_OUT_FROM and row is of[-1])
        for theme, of in by_theme.items()
        for row in of
    ]


class Similarities:
    """Cosines of some photographs to all themes, and what follows from them."""

    def __init__(self, encoder: ClipEncoder, photos: Sequence[Photograph], themes: Sequence[str]) -> None:
        images = encoder.images([Image.open(photo.path).convert("RGB") for photo in photos])
        self.cosines = images @ encoder.texts([text_of(theme) for theme in themes]).T
        self.own = np.array([themes.index(photo.theme) for photo in photos])
        self.valence = np.array([photo.valence for photo in photos])

    def to_theme(self, k: int) -> float:
        """Per cent of photographs with their theme among the k nearest."""
        nearest = np.argsort(-self.cosines, axis=1)[:, :k]
        return 100 * float((nearest == self.own[:, None]).any(axis=1).mean())

    def to_photograph(self) -> tuple[float, float]:
        """Per cent of these photographs' themes whose nearest photograph is one of the theme; chance."""
        asked = np.unique(self.own)
        hits = self.own[self.cosines[:, asked].argmax(axis=0)] == asked
        return 100 * float(hits.mean()), 100 * float(np.mean([(self.own == theme).mean() for theme in asked]))

    def valence_guess(self, of_themes: npt.NDArray[np.float64], scale: float) -> npt.NDArray[np.float64]:
        """The themes' valences, weighted by a softmax over the cosines."""
        weights = np.exp(scale * (self.cosines - self.cosines.max(axis=1, keepdims=True)))
        return np.asarray((weights / weights.sum(axis=1, keepdims=True)) @ of_themes)


def correlation(guess: npt.NDArray[np.float64], true: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Pearson's r, and the r that one in twenty of 2,000 shuffles exceeds."""
    random = np.random.default_rng(0)
    shuffled = [np.corrcoef(random.permutation(guess), true)[0, 1] for _ in range(2000)]
    return float(np.corrcoef(guess, true)[0, 1]), float(np.quantile(shuffled, 0.95))


def trained(folder: Path, photos: Sequence[Photograph], epochs: int) -> str:
    """The name of the model trained on those not held out, from the demo's checkpoint."""
    store = Store(str(folder / "archive"))
    seal_made(store, [photo.sample() for photo in photos])
    settings = TrainSettings.model_validate(
        {
            "output": str(folder / "run"),
            "data": {"batch": 48, "epochs": epochs, "streams": 8, "buffer": 64, "workers": 0},
            "model": {"name": CLIP, "pretrained": ""},
            "loss": {"short": 0, "fine_grained": 0, "transport": 0},
            "optimiser": {"learning_rate": 1e-3, "warmup_steps": 20},
            "loop": {"precision": "fp32", "threads": 1, "checkpoint_steps": 10_000},
        }
    )
    return f"local-dir:{train(settings, store.root, lambda report: None).root}/model"


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--epochs", type=int, default=60)
    options = asked.parse_args()
    if not os.environ.get("MOODARCHIVE_PHOTOS"):
        print("MOODARCHIVE_PHOTOS names no folder of photographs; nothing was measured", file=sys.stderr)
        return
    photos = photographs(Path(os.environ["MOODARCHIVE_PHOTOS"]))
    seen, unseen = [p for p in photos if not p.held_out], [p for p in photos if p.held_out]
    themes = sorted({photo.theme for photo in seen})
    of_themes = np.array([np.mean([photo.valence for photo in seen if photo.theme == theme]) for theme in themes])
    with tempfile.TemporaryDirectory() as folder:
        encoder = ClipEncoder(model=trained(Path(folder), photos, options.epochs))
        by_heart, new = (Similarities(encoder, some, themes) for some in (seen, unseen))
    (there, there_chance), (held, held_chance) = by_heart.to_photograph(), new.to_photograph()
    r, r_chance = correlation(new.valence_guess(of_themes, 20.0), new.valence)
    chance = 100 / len(themes)
    rows = [
        (f"{len(seen)} trained photographs: theme to any photograph of it, R@1, %", there, there_chance),
        ("the same: photograph to theme, R@1, %", by_heart.to_theme(1), chance),
        (f"{len(unseen)} held-out photographs: photograph to theme, R@1, %", new.to_theme(1), chance),
        ("the same, R@5, %", new.to_theme(5), 5 * chance),
        ("the same: theme to photograph, R@1, %", held, held_chance),
        ("the same: correlation with people's valence (chance: one shuffle in twenty is above)", r, r_chance),
    ]
    print("| figure | found | chance |\n|---|---|---|", file=sys.stderr)
    for name, value, by_chance in rows:
        print(f"| {name} | {value:.2f} | {by_chance:.2f} |", file=sys.stderr)
    claims = [
        {
            "claim": name, "ours": round(value, 2), "peer": BAR, "unit": "%", "ratio": round(value / BAR, 3),
            "bar": 1.0, "met": round(value / BAR, 3) >= 1.0,
        }
        for name, value, _ in rows[:2]
    ]  # fmt: skip
    for claim in [*claims, min(claims, key=lambda one: float(str(one["ratio"])))]:
        print(json.dumps(claim))


if __name__ == "__main__":
    main()
