"""Opens the starting CLIP of open_clip, with what prepares pictures for it, and stretches its text tower."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moodarchive.errors import ConfigError, MissingExtraError
from moodarchive.long_text import PLAIN_CONTEXT, stretch
from train.settings import ModelSettings

_FOLDER = "local-dir:"


@dataclass(frozen=True, kw_only=True)
class Towers:
    """A CLIP to be trained; ``config`` and ``preprocess_config`` are what an exported folder says of it."""

    clip: Any
    context: int
    config: Mapping[str, Any]
    preprocess_config: Mapping[str, Any]


def open_towers(settings: ModelSettings) -> Towers:
    """ConfigError when the model cannot be had, or is none whose text tower can be stretched."""
    try:
        from moodarchive.torch_compat import import_torchvision_safely

        import_torchvision_safely()
        import open_clip
    except ImportError as error:
        raise MissingExtraError(error.name or "open_clip", "clip") from error
    try:
        clip, _, _ = open_clip.create_model_and_transforms(
            settings.name, pretrained=settings.pretrained or None, precision="fp32"
        )
        config = _config(open_clip, settings.name)
    except Exception as error:  # open_clip raises anything from RuntimeError to hub errors
        raise ConfigError(
            f"model.name = {settings.name!r} (pretrained = {settings.pretrained!r}) cannot be loaded: "
            f"{str(error)[:200]}; remedy: name a model that this machine can download, or an exported folder as "
            f"{_FOLDER}FOLDER"
        ) from error
    if settings.long_text and clip.context_length == PLAIN_CONTEXT:
        stretch(clip)
    config["text_cfg"]["context_length"] = clip.context_length
    return Towers(
        clip=clip,
        context=clip.context_length,
        config=config,
        preprocess_config=open_clip.get_model_preprocess_cfg(clip),
    )


def _config(open_clip: Any, name: str) -> dict[str, Any]:
    if name.startswith(_FOLDER):
        told = json.loads(Path(name.removeprefix(_FOLDER), "open_clip_config.json").read_text("utf-8"))
        return dict(told["model_cfg"])
    return dict(open_clip.get_model_config(name))
