"""How fast parts were scored, and which side was the wall: the model, or what decodes for it."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MODEL_BOUND = 0.1
"""The model is the wall while it waits for pictures in less than this share of its time."""


@dataclass
class ScoringTime:
    """What the model did with its time while a part was in work."""

    pictures: int = 0
    model_s: float = 0.0
    waited_s: float = 0.0
    """For pictures that were not decoded yet."""
    began: float = field(default_factory=time.monotonic)

    def figures(self) -> dict[str, float]:
        """For the part's sidecar."""
        return {
            "scored": self.pictures,
            "seconds": round(time.monotonic() - self.began, 3),
            "model_s": round(self.model_s, 3),
            "waited_s": round(self.waited_s, 3),
        }

    def line(self) -> str:
        """For the part's log: the rate, the model's own, and the wall."""
        rate = self.pictures / max(time.monotonic() - self.began, 1e-9)
        return f"{rate:.1f} pictures/s; {scoring_wall([self.figures()])}"


def scoring_wall(measured: Iterable[Mapping[str, float]]) -> str:
    """One line from the figures of scored parts; empty where there are none."""
    parts = [figures for figures in measured if figures.get("scored")]
    if not parts:
        return ""
    pictures, model_s, waited_s = (
        sum(figures[name] for figures in parts) for name in ("scored", "model_s", "waited_s")
    )
    share = waited_s / max(model_s + waited_s, 1e-9)
    wall = (
        "the model is the wall"
        if share < MODEL_BOUND
        else "decoding is the wall: give its workers more CPU cores (score.decoders)"
    )
    return f"the model takes {pictures / max(model_s, 1e-9):.1f} pictures/s and waited {share:.0%} of its time; {wall}"
