"""The demo's edits: unseen drawings towards another emotion, with the MoodifyCLIP that the demo has just trained."""

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from rich.console import Console

from editor.edit import EditSettings, Method, default_settings
from moodarchive.storage.store import Store
from pipelines.demo.bundled_base import SETTINGS, prepare_bundled_base

if TYPE_CHECKING:
    from pipelines.demo.closed_world import Case

EDITS_PATH = "report/edits.json"
DRAWINGS = "report/drawings"
"""Where the unedited drawings lie, for a person who wants to edit one."""
CASES = 9
LOCAL_CASES = 3
_TITLES = {
    "moodifier": "Moodifier, with the MoodifyCLIP trained here",
    "untrained": "Moodifier, with the CLIP it started from",
    "infedit": "plain inversion-free editing",
    "sdedit": "SDEdit",
}


@dataclass(frozen=True, kw_only=True)
class MethodFigures:
    """One method's means over the drawings: per cent named, dB and likeness to the true redraw."""

    method: str
    named: float
    psnr: float
    ssim: float


@dataclass(frozen=True, kw_only=True)
class Strip:
    """One drawing's pictures, as addresses that a page shows without another file."""

    emotion: str
    before: str
    source: str
    true: str
    edit: str


@dataclass(frozen=True, kw_only=True)
class Edited:
    """What the demo's editing did; ``model`` is the digest of the MoodifyCLIP it was done with."""

    model: str
    drawings: int
    before: float
    """Per cent of the sources that the judge already names as the target."""
    methods: Sequence[MethodFigures]
    outside: float
    """dB to the source outside the mask, where the mood of a part alone was changed …"""
    outside_rebuilt: float
    """… and what the autoencoder alone makes of it."""
    strips: Sequence[Strip]


def edit_drawings(store: Store, console: Console) -> Edited:
    """Edits, measures and records; a model that was edited with before is not used again."""
    from editor.weights_digest import weights_sha256
    from pipelines.demo.closed_world import draw_cases

    hub = Path(store.path("model/hub"))
    model = weights_sha256(hub / "model.safetensors")
    if (known := _read_edits(store)) and known.model == model:
        return known
    began = monotonic()
    cases = draw_cases(CASES, seed=0)
    for number, case in enumerate(cases, start=1):
        name = f"{number}-{case.source.kind}-{case.source.mood.emotion}.png"
        store.write_bytes(f"{DRAWINGS}/{name}", _packed(case.source.image, "PNG"))
    edited = _edit(hub, model, cases)
    console.print(f"edit: done in {monotonic() - began:.1f} s", highlight=False)
    store.write_bytes(EDITS_PATH, (json.dumps(asdict(edited), indent=1) + "\n").encode())
    return edited


def describe_edits(edited: Edited) -> list[str]:
    """Lines for a terminal."""
    lines = [
        f"edited {edited.drawings} unseen drawings towards another emotion; an independent judge names it in "
        f"{edited.before:.0f}% before, after (and PSNR, SSIM to the true redraw):"
    ]
    lines += [f"  {row.method}: {row.named:.0f}% ({row.psnr:.1f} dB, {row.ssim:.2f})" for row in edited.methods]
    return [
        *lines,
        f"  outside a mask: {edited.outside:.1f} dB, the autoencoder alone {edited.outside_rebuilt:.1f} dB",
    ]


def _edit(hub: Path, model: str, cases: "Sequence[Case]") -> Edited:
    import torch

    from editor.loading import load_method
    from editor.methods.base import open_base
    from pipelines.demo.closed_world import draw_cases, edit_cases, kept_outside, rebuild, score
    from pipelines.demo.pairs.judge import name_emotions, open_judge

    torch.set_num_threads(1)  # two on a busy machine wait for each other
    bundled, judge = prepare_bundled_base(), open_judge()
    local = draw_cases(LOCAL_CASES, seed=0, local=True)
    rows, images, outside = [], [], [(0.0, 0.0)]
    for name, title in _TITLES.items():
        method_name = "moodifier" if name == "untrained" else name
        tower = {"moodifier": hub, "untrained": bundled.model}.get(name)
        method: Method = load_method(
            method_name, str(bundled.base), str(tower) if tower else None, _settings(method_name)
        )
        edits = edit_cases(method, cases, seed=0)
        figures = score(judge, cases, edits)
        rows.append(
            MethodFigures(
                method=title,
                named=100 * float(figures.named.mean()),
                psnr=float(figures.psnr.mean()),
                ssim=float(figures.ssim.mean()),
            )
        )
        if name == "moodifier":
            images = edits
            base = open_base(bundled.base, _settings(method_name))
            outside = [
                kept_outside(case, image, rebuild(base, case.source.image))
                for case, image in zip(local, edit_cases(method, local, seed=0), strict=True)
            ]
    named = name_emotions(judge, [case.source.image for case in cases])
    return Edited(
        model=model,
        drawings=len(cases),
        before=100 * float(np.mean([name == case.emotion for name, case in zip(named, cases, strict=True)])),
        methods=rows,
        outside=float(np.mean([edit for edit, _ in outside])),
        outside_rebuilt=float(np.mean([rebuilt for _, rebuilt in outside])),
        strips=[
            Strip(
                emotion=case.emotion,
                before=case.source.mood.emotion,
                source=_address(case.source.image),
                true=_address(case.target.image),
                edit=_address(image),
            )
            for case, image in zip(cases, images, strict=True)
        ],
    )


def _settings(method: str) -> EditSettings:
    return default_settings(method).model_copy(update={**SETTINGS[method], "batch": CASES})


def _address(image: Image.Image) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(_packed(image, "JPEG")).decode()


def _packed(image: Image.Image, form: str) -> bytes:
    packed = io.BytesIO()
    image.save(packed, form, quality=92)
    return packed.getvalue()


def _read_edits(store: Store) -> Edited | None:
    try:
        record: dict[str, Any] = json.loads(store.read_bytes(EDITS_PATH))
        methods = [MethodFigures(**row) for row in record["methods"]]
        strips = [Strip(**strip) for strip in record["strips"]]
        return Edited(**{**record, "methods": methods, "strips": strips})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
