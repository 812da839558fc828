"""What a step takes of the memory, and the largest batch that fits: ``moodarchive train --dry-run``.

A GPU is measured by real steps. Without one, a step is run over fake tensors (``FakeTensorMode``), which have shapes
and no content, and what lives at once is added up: of the tensors alone, without what kernels use beside them.
"""

import gc
import math
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from train.data.archive import SealedArchive
from train.data.batch import Batch
from train.data.order import Order
from train.data.samples import Decoder, Sample, collate
from train.data.stream import RankStream
from train.losses import potential_of_stimuli
from train.model.compiling import choose_compiling
from train.model.moodify_clip import MoodifyClip
from train.model.towers import Towers, open_towers
from train.settings import TrainSettings
from train.step.build import build_stepper, embeddings_read, steps_in_bf16
from train.step.stepper import Stepper

PeakOf = Callable[[int, int], float]
"""Bytes at the peak of a step over so many samples in so many slices; infinite where it ran out of memory."""
_SAMPLES = 64
"""So many real samples' texts stand for all."""
_MOST = 8
"""Times the wanted batch: a larger one is not looked for."""
_MARGIN = 0.95
"""Of a GPU's free memory: the rest is lost between its blocks."""


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """Bytes of the memory that a step takes and has."""

    device: str
    is_measured: bool
    available: float
    rows: int
    """A rank's batch"""
    peaks: dict[int, float]
    """Number of slices → peak, from one slice up to the first number that fits"""
    largest: int
    """Samples of a rank that fit in one pass; 0: none"""


def plan_memory(settings: TrainSettings, archive: SealedArchive, device: torch.device, ranks: int) -> MemoryPlan:
    """Of one rank among ``ranks``, found by this process alone. Nothing is written."""
    towers = open_towers(settings.model)
    samples = _first_samples(settings, archive, towers)
    # ranks average their gradients in buffers of their own
    buffers = (
        0 if ranks == 1 else sum(p.numel() * p.element_size() for p in towers.clip.parameters() if p.requires_grad)
    )
    if device.type == "cuda":
        name, peak_of = torch.cuda.get_device_name(device), _measuring(settings, towers, samples, device)
        available = _MARGIN * (torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device))
    else:
        name, peak_of, available = "this machine's CPU", _estimating(settings, towers, samples), free_memory()
    available -= buffers
    rows, slices = settings.data.batch // ranks, settings.loop.accumulate
    in_one_pass = cache(lambda tried: peak_of(tried, 1))
    peaks: dict[int, float] = {}
    while True:
        peaks[slices] = in_one_pass(rows) if slices == 1 else peak_of(rows, slices)
        if peaks[slices] <= available or slices >= rows:
            break
        slices = min(2 * slices, rows)
    return MemoryPlan(
        device=name,
        is_measured=device.type == "cuda",
        available=available + buffers,
        rows=rows,
        peaks={number: peak + buffers for number, peak in peaks.items()},
        largest=find_largest(in_one_pass, rows, available),
    )


def find_largest(peak_of: Callable[[int], float], rows: int, available: float) -> int:
    """Samples whose peak fits, 0 where none does, ``_MOST`` times ``rows`` at most; the answer itself was tried.

    It is looked for from ``rows`` on, along lines: each further sample takes nearly as much.
    """
    fitting = rows
    while (at_fitting := peak_of(fitting)) > available:
        if fitting == 1:
            return 0
        fitting //= 2
    less = max(1, fitting // 2)
    each = (at_fitting - peak_of(less)) / max(1, fitting - less)
    tried = min(_MOST * rows, fitting + int((available - at_fitting) / max(each, 1.0)))
    while tried > fitting:
        at_tried = peak_of(tried)
        if at_tried <= available:
            return tried
        # at infinity the middle
        share = 0.5 if math.isinf(at_tried) else (available - at_fitting) / (at_tried - at_fitting)
        tried = min(tried - 1, fitting + int(share * (tried - fitting)))
    return fitting


def free_memory() -> float:
    """Bytes of this machine that can be had without swapping, or of its container."""
    sizes = []
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            sizes.append(1024 * float(line.split()[1]))
    try:
        limit, used = (Path("/sys/fs/cgroup", name).read_text() for name in ("memory.max", "memory.current"))
        sizes.append(float(limit) - float(used))
    except (OSError, ValueError):  # no such file, or "max": no limit
        pass
    return min(sizes)


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the tensors that live at once, from the operations that make them; ``peak`` is in bytes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._counted: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_iter(made):
            if isinstance(tensor, Tensor):
                self.count(tensor)
        return made

    def count(self, tensor: Tensor) -> None:
        """What was made before counts from now on."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._counted:
            self._counted.add(key)
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._counted.discard(key)
        self.live -= size


def _first_samples(settings: TrainSettings, archive: SealedArchive, towers: Towers) -> list[Sample]:
    sizes = [shard.samples for shard in archive.shards]
    order = Order(archives=[sizes], weights=[1.0], seed=settings.loop.seed, batch=min(_SAMPLES, sum(sizes)), streams=1)
    decoder = Decoder(
        model=settings.model.name,
        context=towers.context,
        preprocess_config=towers.preprocess_config,
        seed=settings.loop.seed,
    )
    stream = RankStream(
        shards=archive.shards, order=order, decoder=decoder, rank=0, ranks=1, first_step=0, last_step=1
    )  # fmt: skip
    return next(stream.batches(0))


def _cut(samples: Sequence[Sample], rows: int, slices: int, settings: TrainSettings) -> list[Batch]:
    """So many rows of the samples, again and again."""
    size = -(-rows // slices)
    every = list(islice(cycle(samples), rows))
    return [collate(every[i : i + size], embeddings_read(settings.loss)) for i in range(0, rows, size)]


def _measuring(settings: TrainSettings, towers: Towers, samples: Sequence[Sample], device: torch.device) -> PeakOf:
    compiles = choose_compiling(settings.loop.compile, device)
    stepper = build_stepper(settings, towers, device, steps=1, compiles=compiles)

    def peak_of(rows: int, slices: int) -> float:
        torch.cuda.empty_cache()
        try:
            for _ in range(2):  # what is allocated once, as the optimiser's state, is there in the second
                torch.cuda.reset_peak_memory_stats(device)
                cut = [piece.on(device) for piece in _cut(samples, rows, slices, settings)]
                stepper.rehearse(cut, bf16=steps_in_bf16(settings.loop, device))
            return float(torch.cuda.max_memory_allocated(device))
        except torch.OutOfMemoryError:
            return float("inf")

    return peak_of


def _estimating(settings: TrainSettings, towers: Towers, samples: Sequence[Sample]) -> PeakOf:
    def peak_of(rows: int, slices: int) -> float:
        with FakeTensorMode() as fake:
            stepper = _fake_stepper(settings, towers)
        cut = [piece.map(fake.from_tensor) for piece in _cut(samples, rows, slices, settings)]
        first = [piece.map(fake.from_tensor) for piece in _cut(samples, 1, 1, settings)]
        bf16 = steps_in_bf16(settings.loop, torch.device("cpu"))
        with LiveBytes() as memory, fake:
            for tensor in (*stepper.clip.parameters(), *stepper.clip.buffers()):
                memory.count(tensor)
            stepper(first, 0, bf16=bf16)  # makes the optimiser's state
            for piece in cut:
                piece.map(lambda tensor: (memory.count(tensor), tensor)[1])
            stepper(cut, 0, bf16=bf16)
        gc.collect()
        return float(memory.peak)

    return peak_of


def _fake_stepper(settings: TrainSettings, towers: Towers) -> Stepper:
    import open_clip

    config = {
        name: value
        for name, value in towers.config.items()
        if name in ("embed_dim", "vision_cfg", "text_cfg", "quick_gelu")
    }
    clip = open_clip.CLIP(**config)
    clip.set_grad_checkpointing(settings.loop.activation_checkpoints)
    model = MoodifyClip(clip, towers.preprocess_config, embeddings_read(settings.loss)).train()
    return Stepper(
        model,
        settings.optimiser,
        settings.loss,
        steps=1,
        find_potential=partial(potential_of_stimuli, may_ask=False),
    )
