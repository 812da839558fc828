"""A trained model as folders that other programs read, with a card that says what it was trained on."""

import json
from pathlib import Path
from typing import Any

from moodarchive.storage.store import Store
from train.model.towers import Towers
from train.saving.checkpoint import Progress
from train.saving.hub_format import has_hub_form, write_hub_folder
from train.settings import TrainSettings

FOLDER = "model"
FOLDER_PREFIX = "local-dir:"
HUB_FOLDER = "model/hub"


def export(store: Store, towers: Towers, progress: Progress, settings: TrainSettings) -> None:
    """Writes ``model/hub/`` for transformers (ViT only) and ``model/``, an open_clip folder; its weights come last."""
    from safetensors.torch import save as packed

    if has_hub_form(towers):
        write_hub_folder(store, HUB_FOLDER, towers)
    config = {"model_cfg": towers.config, "preprocess_cfg": towers.preprocess_config}
    store.write_bytes(f"{FOLDER}/open_clip_config.json", (json.dumps(config, indent=1, default=list) + "\n").encode())
    store.write_bytes(f"{FOLDER}/training.json", (json.dumps(_origin(progress, settings), indent=1) + "\n").encode())
    store.write_bytes(f"{FOLDER}/README.md", _card(progress, settings, towers).encode())
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in towers.clip.state_dict().items()}
    store.write_bytes(f"{FOLDER}/open_clip_model.safetensors", packed(weights))


def _origin(progress: Progress, settings: TrainSettings) -> dict[str, Any]:
    """What an evaluation must know of the training to label its figures."""
    return {
        "started_from": settings.model.name,
        "from_random_weights": _from_random_weights(settings),
        "steps": progress.step,
        "losses": {name: getattr(settings.loss, name) for name in ("full", "short", "fine_grained", "transport")},
    }


def _from_random_weights(settings: TrainSettings) -> bool:
    """True without pretrained weights; a folder says it of itself."""
    if not settings.model.name.startswith(FOLDER_PREFIX):
        return not settings.model.pretrained
    try:
        origin = json.loads(Path(settings.model.name.removeprefix(FOLDER_PREFIX), "training.json").read_text("utf-8"))
        return bool(origin["from_random_weights"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _card(progress: Progress, settings: TrainSettings, towers: Towers) -> str:
    return "\n".join(
        [
            "---",
            "library_name: open_clip",
            "tags: [clip, emotion, moodarchive]",
            "---",
            "",
            "# MoodifyCLIP",
            "",
            f"Started from `{settings.model.name}` (`{settings.model.pretrained or 'no pretrained tag'}`), trained for "
            f"{progress.step:,} steps of {settings.data.batch:,} samples; reads up to {towers.context} tokens.",
            "",
            *([f"It began with the weights of {progress.started_from}.", ""] if progress.started_from else []),
            f"Seals of the archives it was trained on: {', '.join(f'`{seal}`' for seal in progress.seals)}. "
            f"{progress.replaced:,} corrupt samples were replaced by others.",
            "",
            "## Settings",
            "",
            "```json",
            json.dumps(dict(progress.settings), indent=1, sort_keys=True),
            "```",
            "",
        ]
    )
