"""Small EmoPair sets for tests."""

import json
from pathlib import Path
from typing import Any

from moodarchive.emotions.taxonomy import MIKELS_EIGHT
from pipelines.editing.sets.emopair.settings import PairSettings
from tests.making import textured

PICTURES = 4


def drawn_settings(count: int = 12, **given: Any) -> PairSettings:
    """Exact pairs at 32 pixels."""
    source = {"kind": "drawn", "count": count, "size": 32}
    return PairSettings.model_validate({"sources": [source], "pairs_per_part": 5, **given})


def authors_settings(folder: Path, **given: Any) -> PairSettings:
    """The authors' list below ``folder``, as ``write_authors`` leaves it."""
    source = {"kind": "emopair", "folder": str(folder), "json_file": str(folder / "data_EmoPair.json"), **given}
    return PairSettings.model_validate({"sources": [source], "pairs_per_part": 5})


def entry(number: int, **given: Any) -> dict[str, Any]:
    """An entry of the authors' list; its numbers have no short binary form."""
    softmax = [0.01, 0.82, 0.03, 0.02, 0.05, 0.03, 0.03, 0.01]
    return {
        "class_source": "anger",
        "class_target": MIKELS_EIGHT[2 + number % 5],
        "prompt": f"replace the flames with a meadow, “{number}”",
        "img_src_path": f"EPGS/a/{number % PICTURES}.jpg",
        "img_tgt_path": f"EPGS/a/{number % PICTURES}_{number}.jpg",
        "source_softmax": softmax,
        **given,
    }


def write_authors(folder: Path, entries: list[dict[str, Any]]) -> None:
    """data_EmoPair.json and the pictures that its entries name."""
    (folder / "data_EmoPair.json").write_text(json.dumps(entries))
    for number, one in enumerate(entries):
        for name in (one["img_src_path"], one["img_tgt_path"]):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                textured(40, 32, seed=number).save(path)
