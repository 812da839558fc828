"""Checkpoints: a folder of weights, optimiser and progress; ``state.json``, written last, makes it count."""

import io
import json
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from shutil import disk_usage
from typing import Any, BinaryIO, Protocol, cast

import torch
from torch import Tensor, nn

from moodarchive.errors import ConfigError, StageError, StorageFullError
from moodarchive.settings import differences
from moodarchive.storage.store import Store
from moodarchive.tables.keys import canonical_json

LOG_PATH = "checkpoints/training.jsonl"
_PROBE, _IDENTITY = "checkpoints/writable", "checkpoints/run-id"
_WEIGHTS, _OPTIMISER, _STATE = "model.safetensors", "optimiser.pt", "state.json"


class Learning(Protocol):
    """What a checkpoint keeps: all weights, and the optimiser of those that learn."""

    @property
    def module(self) -> nn.Module: ...

    @property
    def optimiser(self) -> torch.optim.Optimizer: ...


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a run has done and with what: ``step`` steps, on archives with these ``seals``, under these ``settings``."""

    step: int
    settings: Mapping[str, Any]
    seals: Sequence[str]
    replaced: int = 0
    """Corrupt samples for which others stood in."""
    started_from: str = ""
    """The checkpoint of another run whose weights this one began with, and what was changed; empty for none."""
    files: Mapping[str, str] = field(default_factory=dict)
    code_version: str = field(default_factory=lambda: version("moodarchive"))


def remedy_for_nan(step: int) -> str:
    """What helps where ``step`` steps led to weights that are no good: a checkpoint of that step may hold them too."""
    return (
        "another output with a smaller optimiser.learning_rate or loop.precision = 'fp32', from the start or with "
        f"--from a checkpoint below {step:08d}, where the loss was still finite"
    )


def check_writable(store: Store) -> None:
    """ConfigError where nothing can be written."""
    try:
        store.write_bytes(_PROBE, b"")
        store.remove(_PROBE)
    except OSError as error:
        raise ConfigError(
            f"{store.root} cannot be written to: {error}; remedy: another folder as output, or the right to write there"
        ) from None


def run_identity(store: Store) -> str:
    """Names the run among all others, drawn once and the same after a resumption."""
    if not store.exists(_IDENTITY):
        store.write_bytes(_IDENTITY, uuid.uuid4().hex.encode())
    return store.read_bytes(_IDENTITY).decode()


def check_room(store: Store, clip: nn.Module) -> None:
    """Removes what killed runs left half written, and sees that a checkpoint has room, before hours of steps.

    StorageFullError where the disk has no room for one checkpoint.
    """
    for folder in ("checkpoints", "model"):
        Store(f"{store.root.rstrip('/')}/{folder}").remove_drafts()
    # the weights, and AdamW's two means of each
    needed = 3 * sum(parameter.numel() * parameter.element_size() for parameter in clip.parameters())
    free = disk_usage(store.path("checkpoints")).free if store.is_local else needed
    if free < needed:
        raise StorageFullError(
            f"a checkpoint takes {needed / 1e9:.2f} GB, {store.root} has {free / 1e9:.2f} GB free; remedy: free some "
            "space, or another folder as output"
        )


@dataclass(frozen=True)
class HostState:
    """Weights and optimiser as they stood after a step, in this machine's memory."""

    weights: Mapping[str, Tensor]
    trained: frozenset[str]
    """The weights that are parameters"""
    optimiser: Mapping[str, Any]
    copied: torch.cuda.Event | None
    """Set where a GPU still copies"""


def copy_state(learner: Learning) -> HostState:
    """A copy that later steps do not change; a GPU makes it in its turn, into pinned memory, and is not waited for."""
    state = learner.optimiser.state_dict()
    optimiser = {
        "state": {
            number: {name: _copy(value) for name, value in values.items()} for number, values in state["state"].items()
        },
        "param_groups": [dict(group) for group in state["param_groups"]],
    }
    weights = {name: _copy(tensor) for name, tensor in learner.module.state_dict().items()}
    copied = None
    if any(parameter.is_cuda for parameter in learner.module.parameters()):
        copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        copied.record()
    trained = frozenset(name for name, _ in learner.module.named_parameters())
    return HostState(weights, trained, optimiser, copied)


def _copy(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    copy = torch.empty(value.shape, dtype=value.dtype, pin_memory=value.is_cuda)
    return copy.copy_(value.detach(), non_blocking=True)


class CheckpointWriter:
    """Writes checkpoints in a thread while training goes on, one at a time; the end of its ``with`` waits for the last.

    What a write meets is raised by the next call.
    """

    def __init__(self, store: Store, *, keep: int) -> None:
        self._store, self._keep = store, keep
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def __enter__(self) -> "CheckpointWriter":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown()
        if error is None:
            self.finish()

    def begin(self, learner: Learning, progress: Progress, log: Sequence[Mapping[str, Any]]) -> None:
        """Copies the state as it stands, once the write before has ended, and begins to write it."""
        self.finish()
        self._writing = self._pool.submit(
            _write, self._store, copy_state(learner), progress, list(log), keep=self._keep
        )

    def check(self) -> None:
        """Raises what a write has met that has ended meanwhile."""
        if self._writing is not None and self._writing.done():
            self.finish()

    def finish(self) -> None:
        """Waits for the write that goes on."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()


def save(store: Store, learner: Learning, progress: Progress, log: Sequence[Mapping[str, Any]], *, keep: int) -> None:
    """Writes a checkpoint and the log up to it; removes all but the newest ``keep``.

    ConfigError when another run has begun to write here, StageError for weights that are not finite.
    """
    _write(store, copy_state(learner), progress, log, keep=keep)


def _write(store: Store, state: HostState, progress: Progress, log: Sequence[Mapping[str, Any]], *, keep: int) -> None:
    from safetensors.torch import save as packed

    for newest in filter(None, [_progress(store, step) for step in _finished(store)[-1:]]):
        _check_same(store, newest, progress)
    if state.copied is not None:
        state.copied.synchronize()
    folder = _folder(progress.step)
    _require_finite_weights(state, progress.step)
    files = {_WEIGHTS: store.write_bytes(f"{folder}/{_WEIGHTS}", packed(dict(state.weights)))}
    with store.draft(f"{folder}/{_OPTIMISER}") as file:
        torch.save(state.optimiser, cast(BinaryIO, file))
    files[_OPTIMISER] = file.sha256
    store.write_bytes(LOG_PATH, "".join(canonical_json(dict(line)) + "\n" for line in log).encode())
    written = asdict(progress) | {"files": files}
    store.write_bytes(f"{folder}/{_STATE}", (json.dumps(written, indent=1, sort_keys=True) + "\n").encode())
    for old in _finished(store)[:-keep]:
        for name in (_STATE, _OPTIMISER, _WEIGHTS):
            store.remove(f"{_folder(old)}/{name}")


def _require_finite_weights(state: HostState, step: int) -> None:
    spoilt = [name for name, tensor in state.weights.items() if name in state.trained and not tensor.isfinite().all()]
    if spoilt:
        raise StageError(
            f"the weights are not finite after step {step} ({', '.join(spoilt[:3])}{', …' if spoilt[3:] else ''}) and "
            f"are not saved; remedy: {remedy_for_nan(step)}"
        )


def load_start(checkpoint: str, clip: nn.Module, expected: Progress) -> str:
    """Loads another run's weights from its checkpoint, a folder; returns which and what is changed, for the model card.

    ConfigError when it is no whole checkpoint of such a model. The optimiser begins anew.
    """
    from safetensors.torch import load as unpacked

    root, _, name = checkpoint.rstrip("/").rpartition("/checkpoints/")
    store = Store(root or ".")
    progress = _progress(store, int(name)) if root and name.isdigit() else None
    if progress is None or not _is_whole(store, progress):
        raise ConfigError(
            f"--from {checkpoint} is no whole checkpoint; remedy: a folder OUTPUT/checkpoints/NUMBER of a training run"
        )
    try:
        clip.load_state_dict(unpacked(store.read_bytes(f"{_folder(progress.step)}/{_WEIGHTS}")))
    except RuntimeError as error:
        raise ConfigError(
            f"--from {checkpoint} holds a model of another shape: {str(error)[:300]}; remedy: the model settings that "
            "it was trained with"
        ) from None
    changed = differences(progress.settings, expected.settings)
    changes = "; ".join(f"{name} was {before!r}, is {now!r}" for name, before, now in changed)
    return f"step {progress.step} of a run on {', '.join(progress.seals)} ({changes or 'the same settings'})"


def load_newest(store: Store, learner: Learning, expected: Progress) -> tuple[Progress, list[dict[str, Any]]] | None:
    """Continues from the newest checkpoint whose bytes are whole; None when there is none.

    ConfigError when it was made from another archive, under other settings, or has another shape.
    """
    from safetensors.torch import load as unpacked

    for step in reversed(_finished(store)):
        progress = _progress(store, step)
        if progress is None or not _is_whole(store, progress):
            continue
        _check_same(store, progress, expected)
        try:
            learner.module.load_state_dict(unpacked(store.read_bytes(f"{_folder(step)}/{_WEIGHTS}")))
        except RuntimeError as error:
            raise ConfigError(
                f"{store.root}/{_folder(step)} holds a model of another shape: {str(error)[:300]}; remedy: the model "
                "settings that it was trained with, or another output"
            ) from None
        data = io.BytesIO(store.read_bytes(f"{_folder(step)}/{_OPTIMISER}"))
        # the optimiser moves its state to its parameters, wherever the checkpoint was written
        state = torch.load(data, map_location="cpu", weights_only=True)
        learner.optimiser.load_state_dict(state)
        _lay_out_as_weights(learner.optimiser)
        return progress, [line for line in _log(store) if line["step"] <= step]
    return None


def _lay_out_as_weights(optimiser: torch.optim.Optimizer) -> None:
    """Gives each mean its weight's strides: fused kernels walk both in memory order, and checkpoints keep none."""
    for parameter, values in optimiser.state.items():
        for name, value in values.items():
            if value.shape == parameter.shape and value.stride() != parameter.stride():
                values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


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
