"""The model that an evaluation measures: where it lies, what it was trained from, and what must be said of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moodarchive.errors import ConfigError
from moodarchive.models.clip import ClipEncoder
from moodarchive.tables.layout import MANIFEST_PATH

FOLDER = "local-dir:"
SMALLEST = 50_000_000
"""Parameters: below it, no published CLIP of full use; OpenAI's smallest has twice as many."""


@dataclass(frozen=True, kw_only=True)
class EvaluatedModel:
    """``role`` is model or baseline; ``folder`` is None for a model of open_clip's list."""

    role: str
    encoder: ClipEncoder
    folder: Path | None

    @property
    def name(self) -> str:
        """As open_clip is asked for it."""
        tag = f"/{self.encoder.pretrained}" if self.encoder.pretrained else ""
        return f"{self.encoder.model}{tag}"

    @property
    def training(self) -> dict[str, Any]:
        """What the export says of its training; empty for models that this project did not train."""
        try:
            told = json.loads((self.folder / "training.json").read_text("utf-8")) if self.folder else {}
        except (OSError, ValueError):
            return {}
        return told if isinstance(told, dict) else {}

    @property
    def caveat(self) -> str:
        """Why the figures say nothing of quality; empty when they may."""
        reasons = []
        if self.encoder.parameters < SMALLEST:
            reasons.append(f"a small model of {self.encoder.parameters / 1e6:.1f} M parameters")
        if self.training.get("from_random_weights"):
            reasons.append("trained from random weights")
        return f"{' and '.join(reasons)}: the figures prove plumbing only" if reasons else ""


def evaluated(role: str, named: str, threads: int = 1) -> EvaluatedModel:
    """``named`` is a folder with an export, a root with one in model/, local-dir:FOLDER, or open_clip's NAME/TAG."""
    folder = Path(named.removeprefix(FOLDER))
    for candidate in (folder, folder / "model"):
        if (candidate / "open_clip_config.json").is_file():
            return EvaluatedModel(
                role=role, encoder=ClipEncoder(model=f"{FOLDER}{candidate}", threads=threads), folder=candidate
            )
    if named.startswith(FOLDER) or folder.is_dir():
        raise ConfigError(
            f"{folder} holds no model: neither it nor its model/ has an open_clip_config.json; remedy: moodarchive "
            "train makes one, or name a model of open_clip as NAME/TAG"
        )
    name, _, tag = named.partition("/")
    return EvaluatedModel(role=role, encoder=ClipEncoder(model=name, pretrained=tag, threads=threads), folder=None)


def archive_of(named: str) -> str:
    """The root itself where ``named`` is a sealed archive with its model inside; empty otherwise."""
    return named if (Path(named) / MANIFEST_PATH).is_file() else ""
