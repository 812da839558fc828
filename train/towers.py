"""Opens the starting CLIP of open_clip, with what prepares pictures for it, and stretches its text tower."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moodarchive.models.clip import opened
from moodarchive.models.long_text import PLAIN_CONTEXT, stretch
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

    def load(open_clip: Any) -> tuple[Any, dict[str, Any], Mapping[str, Any]]:
        clip, _, _ = open_clip.create_model_and_transforms(
            settings.name, pretrained=settings.pretrained or None, precision="fp32"
        )
        return clip, _read_config(open_clip, settings.name), open_clip.get_model_preprocess_cfg(clip)

    clip, config, preprocess_config = opened("model.name =", settings.name, settings.pretrained, load)
    if settings.long_text and clip.context_length == PLAIN_CONTEXT:
        stretch(clip)
    config["text_cfg"]["context_length"] = clip.context_length
    return Towers(
        clip=clip,
        context=clip.context_length,
        config=config,
        preprocess_config=preprocess_config,
    )


def _read_config(open_clip: Any, name: str) -> dict[str, Any]:
    if name.startswith(_FOLDER):
        folder_config = json.loads(Path(name.removeprefix(_FOLDER), "open_clip_config.json").read_text("utf-8"))
        return dict(folder_config["model_cfg"])
    return dict(open_clip.get_model_config(name))
