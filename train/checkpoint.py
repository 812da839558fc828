"""Checkpoints: a folder of weights, optimiser and progress; ``state.json``, written last, makes it count."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from shutil import disk_usage
from typing import Any, BinaryIO, cast

from torch import nn

from moodarchive.errors import ConfigError, StorageFullError
from moodarchive.keys import canonical_json
from moodarchive.settings import differences
from moodarchive.storage.store import Store
from train.step import Stepper

LOG_PATH = "checkpoints/training.jsonl"
_PROBE = "checkpoints/writable"
_WEIGHTS, _OPTIMISER, _STATE = "model.safetensors", "optimiser.pt", "state.json"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a run has done and with what: ``step`` steps, on archives with these ``seals``, under these ``settings``."""

    step: int
    settings: Mapping[str, Any]
    seals: Sequence[str]
    replaced: int = 0
    """Corrupt samples for which others stood in."""
    files: Mapping[str, str] = field(default_factory=dict)
    code_version: str = field(default_factory=lambda: version("moodarchive"))


def check_room(store: Store, clip: nn.Module) -> None:
    """Removes what killed runs left half written, and sees that a checkpoint can be written, before hours of steps.

    ConfigError where nothing can be written, StorageFullError where the disk has no room for one checkpoint.
    """
    for folder in ("checkpoints", "model"):
        Store(f"{store.root.rstrip('/')}/{folder}").remove_drafts()
    try:
        store.write_bytes(_PROBE, b"")
        store.remove(_PROBE)
    except OSError as error:
        raise ConfigError(
            f"{store.root} cannot be written to: {error}; remedy: another folder as output, or the right to write there"
        ) from None
    # the weights, and AdamW's two means of each
    needed = 3 * sum(parameter.numel() * parameter.element_size() for parameter in clip.parameters())
    free = disk_usage(store.path("checkpoints")).free if store.is_local else needed
    if free < needed:
        raise StorageFullError(
            f"a checkpoint takes {needed / 1e9:.2f} GB, {store.root} has {free / 1e9:.2f} GB free; remedy: free some "
            "space, or another folder as output"
        )


def save(store: Store, stepper: Stepper, progress: Progress, log: Sequence[Mapping[str, Any]], *, keep: int) -> None:
    """Writes a checkpoint and the log up to it; removes all but the newest ``keep``.

    ConfigError when another run has begun to write here.
    """
    import torch
    from safetensors.torch import save as packed

    for found in filter(None, [_progress(store, step) for step in _finished(store)[-1:]]):
        _check_same(store, found, progress)
    folder = _folder(progress.step)
    weights = {name: tensor.contiguous() for name, tensor in stepper.clip.state_dict().items()}
    files = {_WEIGHTS: store.write_bytes(f"{folder}/{_WEIGHTS}", packed(weights))}
    with store.draft(f"{folder}/{_OPTIMISER}") as file:
        torch.save(stepper.optimiser.state_dict(), cast(BinaryIO, file))
    files[_OPTIMISER] = file.sha256
    store.write_bytes(LOG_PATH, "".join(canonical_json(dict(line)) + "\n" for line in log).encode())
    told = asdict(progress) | {"files": files}
    store.write_bytes(f"{folder}/{_STATE}", (json.dumps(told, indent=1, sort_keys=True) + "\n").encode())
    for old in _finished(store)[:-keep]:
        for name in (_STATE, _OPTIMISER, _WEIGHTS):
            store.remove(f"{_folder(old)}/{name}")


def load_newest(store: Store, stepper: Stepper, expected: Progress) -> tuple[Progress, list[dict[str, Any]]] | None:
    """Continues from the newest checkpoint whose bytes are whole; None when there is none.

    ConfigError when it was made from another archive, under other settings, or has another shape.
    """
    import torch
    from safetensors.torch import load as unpacked

    for step in reversed(_finished(store)):
        progress = _progress(store, step)
        if progress is None or not _is_whole(store, progress):
            continue
        _check_same(store, progress, expected)
        try:
            stepper.clip.load_state_dict(unpacked(store.read_bytes(f"{_folder(step)}/{_WEIGHTS}")))
        except RuntimeError as error:
            raise ConfigError(
                f"{store.root}/{_folder(step)} holds a model of another shape: {str(error)[:300]}; remedy: the model "
                "settings that it was trained with, or another output"
            ) from None
        data = io.BytesIO(store.read_bytes(f"{_folder(step)}/{_OPTIMISER}"))
        # the optimiser moves its state to its parameters, wherever the checkpoint was written
        state = torch.load(data, map_location="cpu", weights_only=True)
        stepper.optimiser.load_state_dict(state)
        return progress, [line for line in _log(store) if line["step"] <= step]
    return None


def _progress(store: Store, step: int) -> Progress | None:
    """What the checkpoint says of itself; None where it cannot be read."""
    try:
        return Progress(**json.loads(store.read_bytes(f"{_folder(step)}/{_STATE}")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _is_whole(store: Store, progress: Progress) -> bool:
    files = {f"{_folder(progress.step)}/{name}": sha256 for name, sha256 in progress.files.items()}
    return all(store.exists(path) and store.sha256(path) == sha256 for path, sha256 in files.items())


def _check_same(store: Store, found: Progress, expected: Progress) -> None:
    changed = [
        f"{name} was {before!r}, is {now!r}" for name, before, now in differences(found.settings, expected.settings)
    ]
    if list(found.seals) != list(expected.seals):
        changed.append("the archive was sealed anew since")
    if changed:
        raise ConfigError(
            f"{store.root}/checkpoints is of another run: {'; '.join(changed)}; remedy: the same settings and archive, "
            "or another output for a new run"
        )


def _folder(step: int) -> str:
    return f"checkpoints/{step:08d}"


def _finished(store: Store) -> list[int]:
    names = [name for name in store.names("checkpoints") if name.isdigit()]
    return [int(name) for name in names if store.exists(f"checkpoints/{name}/{_STATE}")]


def _log(store: Store) -> list[dict[str, Any]]:
    lines = store.read_bytes(LOG_PATH).decode().splitlines() if store.exists(LOG_PATH) else []
    return [json.loads(line) for line in lines]
