"""`--base demo`: the shipped diffusion model with its text side, as the editor opens a base and a MoodifyCLIP."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from editor.edit import PRESETS
from editor.tools import Tools
from editor.weights_digest import cache_folder
from moodarchive.errors import EditError, MissingWeightsError
from pipelines.demo.bundled import BASE, CHECKPOINT

NAME = "demo"
METHODS = ("moodifier", "infedit", "sdedit")
"""Those that a base of this class layout serves; emoeditor takes a model that was trained on it."""
SIZE = 64
SETTINGS: dict[str, dict[str, object]] = {
    "moodifier": {"size": SIZE, "steps": 20, "guidance": 4.0, "source_guidance": 1.0, "structure": 1.0},
    "infedit": {"size": SIZE, "steps": 20, "guidance": 3.5, "source_guidance": 1.5},
    "sdedit": {"size": SIZE, "steps": 20, "guidance": 4.0, "strength": 0.8},
}
"""What the drawn world is edited with, where a person names nothing else; measured by benchmarks/closed_world.py."""
EMOEDITOR_SETTINGS: dict[str, object] = {
    "size": SIZE, "steps": 10, "rounds": 12, "confidence": 0.97, "ssim_low": 0.1, "ssim_window": 11,
}  # fmt: skip
"""EmoEditor's in the drawn world, as benchmarks/emoeditor.py has them: exact pairs are less alike than photos."""
EMOEDITOR_COMMANDS = (
    "moodarchive train configs/train/demo-predictor.toml",
    "moodarchive pairs build configs/pairs/drawn.toml runs/drawn-pairs",
    "moodarchive train configs/train/demo-emoeditor.toml",
)
"""What makes an EmoEditor on the demo's base; the last one writes runs/demo-emoeditor/model."""
_WEIGHTS = "diffusion_pytorch_model.safetensors"


@dataclass(frozen=True, kw_only=True)
class BundledBase:
    """Two folders: the base, and a MoodifyCLIP in the form in which a training exports one."""

    base: Path
    model: Path


def with_bundled_base(tools: Tools) -> Tools:
    """The tools as they are, or with the demo's base, model and settings where the base is called ``demo``."""
    if tools.base != NAME:
        return tools
    named = {name: value for name, value in tools.settings.items() if value is not None}
    if tools.method == "emoeditor":
        if not tools.model:
            raise EditError(
                f"--base demo comes without an EmoEditor; remedy: `{'`, `'.join(EMOEDITOR_COMMANDS)}` make one; then "
                "--model runs/demo-emoeditor/model"
            )
        return replace(tools, base=tools.model, model="", settings={**EMOEDITOR_SETTINGS, **named})
    if tools.method == "colour-transfer":
        return replace(tools, base=str(prepare_references()), model="")
    if tools.method not in METHODS:
        raise EditError(
            f"--base demo serves {', '.join(METHODS)}, emoeditor, colour-transfer, not {tools.method}; "
            "remedy: one of them"
        )
    bundled = prepare_bundled_base()
    return replace(
        tools,
        base=str(bundled.base),
        model=tools.model or str(bundled.model),
        settings={**SETTINGS[tools.method], **PRESETS.get(str(named.get("preset")), {}), **named},
    )


def prepare_bundled_base(shipped: Path = BASE) -> BundledBase:
    """The folders, made once in the user's cache: the text side is the small CLIP's, which lies in the package."""
    files = [shipped / part / _WEIGHTS for part in ("vae", "unet")] + [CHECKPOINT / "open_clip_model.safetensors"]
    if lacking := [str(file) for file in files if not file.is_file()]:
        raise MissingWeightsError(
            f"this installation lacks {', '.join(lacking)}; remedy: install moodarchive anew, or train the base with "
            "`python -m pipelines.demo.train_base`"
        )
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    folder = cache_folder() / f"demo-base-{digest.hexdigest()[:16]}"
    if not folder.is_dir():
        _make_whole(folder, lambda draft: _fill(draft, shipped))
    return BundledBase(base=folder / "base", model=folder / "model")


def prepare_references() -> Path:
    """Drawings by emotion, whose colours colour transfer takes; drawn once into the user's cache."""
    folder = cache_folder() / "demo-references-1"
    if not folder.is_dir():
        _make_whole(folder, _draw_references)
    return folder


def _draw_references(folder: Path) -> None:
    from pipelines.demo.closed_world import draw_references

    for emotion, pictures in draw_references().items():
        (folder / emotion).mkdir()
        for number, picture in enumerate(pictures):
            picture.save(folder / emotion / f"{number}.png")


def _fill(folder: Path, shipped: Path) -> None:
    from pipelines.demo.base_texts import write_bundled_hub

    for part in ("vae", "unet", "scheduler"):
        shutil.copytree(shipped / part, folder / "base" / part)
    shutil.copytree(CHECKPOINT, folder / "model")
    write_bundled_hub(folder / "model" / "hub")
    for part in ("text_encoder", "tokenizer"):
        shutil.copytree(folder / "model" / "hub", folder / "base" / part)


def _make_whole(folder: Path, fill: Callable[[Path], None]) -> None:
    """A killed command leaves no half-filled folder; of two at once the first one's stays."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        fill(draft)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
