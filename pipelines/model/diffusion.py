"""Trains a diffusion model as a settings file says: its pictures and text towers are opened, then the steps go."""

from collections.abc import Callable
from pathlib import Path

import torch

from moodarchive.diffusion.text import TextTower, text_folders
from moodarchive.errors import ConfigError
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from pipelines.demo.bundled_base import NAME as DEMO
from train.diffusion.base import train_base
from train.diffusion.folder import add_text_tower, write_card
from train.diffusion.pictures import Pictures
from train.diffusion.run import Listener
from train.diffusion.settings import DiffusionSettings, PictureSource
from train.diffusion.sources import CaptionedPictures, JoinedPictures, open_source


def train_diffusion(settings: DiffusionSettings, origin: str, tell: Listener, say: Callable[[str], None]) -> Path:
    """Trains to the end, or goes on from the last checkpoint; returns the base's folder, text tower and card in it.

    ConfigError, before the first step, for settings that name no output, pictures or text tower; ``say`` hears what
    was left out.
    """
    _require_named(settings, origin)
    folders = [_tower_folders(name, Path(settings.output)) for name in settings.texts]
    towers = {}
    for model, tokenizer in folders:
        tower = TextTower(model=model, tokenizer=tokenizer, device=torch.device("cpu"), dtype=torch.float32)
        towers[_name_of(model, tokenizer)] = tower
    widths = {tower.width for tower in towers.values()}
    if len(widths) > 1:
        raise ConfigError(
            f"{origin}: the text towers have widths {', '.join(map(str, sorted(widths)))}; remedy: towers of one width"
        )
    pictures = JoinedPictures([_open(source, settings, say) for source in settings.sources])
    base = train_base(settings, pictures, towers, tell)
    add_text_tower(base, folders[0])
    write_card(
        base,
        [
            f"{len(pictures):,} pictures of {settings.size} pixels: {pictures.name}",
            f"{settings.denoiser.schedule.steps:,} steps of {settings.denoiser.schedule.batch} from "
            f"{settings.start or 'random weights'}, seed {settings.seed}",
            "what the pictures' licences bind goes with this model",
        ],
    )
    return base


def _require_named(settings: DiffusionSettings, origin: str) -> None:
    remedies = {
        "output": 'output = "runs/base"',
        "sources": '[[sources]] with kind = "archive", "folder" or "drawn"',
        "texts": 'texts = ["demo"], or the folder of a trained MoodifyCLIP',
    }
    for name, remedy in remedies.items():
        if not getattr(settings, name):
            raise ConfigError(f"{origin}: {name} is empty; remedy: {remedy}")


def _tower_folders(name: str, output: Path) -> tuple[Path, Path]:
    if name != DEMO:
        return text_folders(Path(name).expanduser())
    from pipelines.demo.base_texts import write_bundled_hub

    folder = output / "towers" / DEMO
    if not folder.is_dir():
        draft = folder.with_suffix(".draft")
        write_bundled_hub(draft)
        draft.rename(folder)
    return text_folders(folder)


def _name_of(model: Path, tokenizer: Path) -> str:
    """Equal names mean equal towers, wherever they lie."""
    files = sorted({*model.iterdir(), *tokenizer.iterdir()})
    return digest([[file.name, Store(str(file.parent)).sha256(file.name)] for file in files if file.is_file()])


def _open(source: PictureSource, settings: DiffusionSettings, say: Callable[[str], None]) -> Pictures:
    if source.kind == "drawn":
        from pipelines.demo.pairs.pictures import DrawnPictures

        return DrawnPictures(first_seed=source.first_place, places=source.places, size=settings.size, say=say)
    pictures: CaptionedPictures = open_source(source, settings.size, Path(settings.output) / "cache")
    if pictures.left_out:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in pictures.left_out.items())
        say(f"{source.folder}: {len(pictures):,} pictures; left out: {reasons}")
    return pictures
