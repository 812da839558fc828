"""How fast parts were scored, and what was the wall: the model, decoding, the cores of both, or the rows."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

STARVED = 0.2
"""The cores are the wall where threads wait for one in more than this share of the time that they have work."""
BUSY = 0.9
"""Who works in more than this share of the time is the wall, however long others waited for a core."""


@dataclass
class ScoringTime:
    """What the threads did with their time while a part was in work.

    ``model_s`` and ``decode_s`` are what the work itself takes: processor time, and on a GPU the time of its passes.
    """

    decoders: int
    pictures: int = 0
    model_s: float = 0.0
    decode_s: float = 0.0
    """Of all decoding threads together."""
    waited_s: float = 0.0
    """The model's thread, for pictures of its pass that were not decoded yet."""
    starved_s: float = 0.0
    """Threads that had work, for a core."""
    rows_waited_s: float = 0.0
    """The thread that reads and writes rows, for the others."""
    began: float = field(default_factory=time.monotonic)

    def add_decoding(self, seconds: float, cpu_s: float) -> None:
        """Pictures that were decoded and resized, with all threads' time on it."""
        self.decode_s += cpu_s
        self.starved_s += max(0.0, seconds - cpu_s)

    def add_pass(self, pictures: int, *, waited_s: float, seconds: float, cpu_s: float | None) -> None:
        """A pass through the model; ``cpu_s`` is None where a GPU did it."""
        own_s = seconds if cpu_s is None else cpu_s
        self.pictures += pictures
        self.waited_s += waited_s
        self.model_s += own_s
        self.starved_s += max(0.0, seconds - own_s)

    def figures(self) -> dict[str, float]:
        """For the part's sidecar."""
        seconds = time.monotonic() - self.began
        measured = {
            "seconds": seconds,
            "model_s": self.model_s,
            "decode_s": self.decode_s,
            "decoders_s": self.decoders * seconds,
            "waited_s": self.waited_s,
            "starved_s": self.starved_s,
            "rows_waited_s": self.rows_waited_s,
        }
        return {"scored": self.pictures, **{name: round(value, 3) for name, value in measured.items()}}

    def line(self) -> str:
        """For the part's log: the rate, each side's own, and the wall."""
        rate = self.pictures / max(time.monotonic() - self.began, 1e-9)
        return f"{rate:.1f} pictures/s; {scoring_wall([self.figures()])}"


def scoring_wall(measured: Iterable[Mapping[str, float]]) -> str:
    """One line from the figures of scored parts; empty where there are none."""
    parts = [figures for figures in measured if figures.get("scored") and "decoders_s" in figures]
    if not parts:
        return ""
    total = {name: sum(figures[name] for figures in parts) for name in parts[0]}
    pictures, model_s, decode_s = total["scored"], total["model_s"], total["decode_s"]
    seconds = max(total["seconds"], 1e-9)
    threads = total["decoders_s"] / seconds
    busy = {
        "model": model_s / seconds,
        "decoding": decode_s / max(total["decoders_s"], 1e-9),
        "rows": 1 - total["rows_waited_s"] / seconds,
    }
    share = decode_s / max(decode_s + model_s, 1e-9)
    starved = total["starved_s"] / max(total["starved_s"] + decode_s + model_s, 1e-9)
    wall = max(busy, key=lambda side: busy[side])
    if starved >= STARVED and max(busy["model"], busy["decoding"]) < BUSY:
        wall = "cores"
    return (
        f"the model alone would take {pictures / max(model_s, 1e-9):.1f} pictures/s and worked {busy['model']:.0%} of "
        f"the time, {threads:.0f} decoding threads {pictures * threads / max(decode_s, 1e-9):.1f} and "
        f"{busy['decoding']:.0%}; {_WALLS[wall].format(share=share, rest=1 - share)}"
    )


_WALLS = {
    "model": "the model is the wall",
    "decoding": "decoding and resizing are the wall: give the workers more CPU cores (score.decoders)",
    "cores": "the CPU's cores are the wall: decoding and resizing take {share:.0%} of their work, the model {rest:.0%}",
    "rows": "reading and writing rows is the wall: more workers (score.workers)",
}
