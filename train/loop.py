"""The training run of one rank: check the archive, continue from the last checkpoint, step, save, export."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from moodarchive.archive.writer_lock import only_writer
from moodarchive.errors import ConfigError, StageError
from moodarchive.running.parallel_map import in_threads
from moodarchive.settings import SettingScope
from moodarchive.storage.store import Store
from train.data.archive import SealedArchive, Shard, open_archive
from train.data.batch import Batch
from train.data.feed import FedBatch, Feeder, choose_workers
from train.data.order import Order
from train.data.records import StepRecord, StepRecords
from train.data.samples import Decoder, Sample, collate
from train.data.stream import RankStream
from train.devices import flops
from train.devices.device import choose_device, explain_device_errors
from train.devices.gather import process_group, rank, world_size
from train.model.compiling import choose_compiling
from train.model.towers import Towers, open_towers
from train.saving.checkpoint import (
    CheckpointWriter,
    Progress,
    check_room,
    check_writable,
    load_newest,
    load_start,
    remedy_for_nan,
    run_identity,
)
from train.saving.export import export
from train.settings import TrackerSettings, TrainSettings
from train.step.build import build_stepper, embeddings_read, steps_in_bf16
from train.step.slicing import Slicing, free_failed_step
from train.trackers import Track, trackers


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What a step did; losses are means over the batch of all ranks."""

    step: int
    steps: int
    losses: dict[str, float]
    seconds: float
    """Since the report before"""
    samples_per_second: float
    replaced: int
    mfu: float | None
    """The share of the GPU's peak that the towers' operations are; None where the peak is not known"""
    waiting: float
    """The share of the step's time in which this rank waited for its batch; a GPU may have been busy meanwhile"""

    @property
    def figures(self) -> dict[str, float]:
        """What changes from step to step, by name."""
        mfu = {} if self.mfu is None else {"mfu": self.mfu}
        rates = {"samples_per_second": self.samples_per_second, "waiting_for_data": self.waiting}
        return {**self.losses, **rates, "replaced": self.replaced, **mfu}


Listener = Callable[[StepReport], None]


def train(settings: TrainSettings, root: str, tell: Listener, start: str = "") -> Store:
    """Trains to the end, or goes on where the last checkpoint stands; returns the store that holds ``model/``.

    Under torchrun each process is one rank; without it this process is the only one. ``tell`` hears every step on rank
    0. ``root`` is used when the settings name no archive. A new run takes its weights from ``start``, the folder of
    another run's checkpoint. RootInUseError when another run trains into the same folder.
    """
    device = choose_device()
    with process_group(device), explain_device_errors(device):
        if settings.loop.threads:
            torch.set_num_threads(settings.loop.threads)
        archives = open_archives(settings, root)
        store = Store(settings.output or archives[0].root)
        with _only_trainer(store):
            _train(_Run(settings, archives, device, store, start), tell)
        return store


@contextmanager
def _only_trainer(store: Store) -> Iterator[None]:
    """Of all ranks the first one holds the folder."""
    if rank():
        yield
        return
    check_writable(store)
    with only_writer(Store(f"{store.root.rstrip('/')}/checkpoints")):
        yield


def _train(run: "_Run", tell: Listener) -> None:
    run.check_shards()
    with run.trackers() as track:

        def tell_all(report: StepReport) -> None:
            track(report.step, report.figures)
            tell(report)

        run.go(tell_all)
    if rank() == 0:
        export(run.store, run.towers, run.progress, run.settings)


class _Run:
    """One rank's state between steps."""

    def __init__(
        self, settings: TrainSettings, archives: Sequence[SealedArchive], device: torch.device, store: Store, start: str
    ) -> None:
        self.settings, self.device, self.store = settings, device, store
        compiles = choose_compiling(settings.loop.compile, device)
        torch.manual_seed(settings.loop.seed)  # random starting weights are the same on all ranks
        self.towers: Towers = open_towers(settings.model)
        self.decoder = Decoder(
            model=settings.model.name,
            context=self.towers.context,
            preprocess_config=self.towers.preprocess_config,
            seed=settings.loop.seed,
        )
        self.order = _order(settings, archives)
        self.order.check_ranks(world_size())
        self.shards = [shard for archive in archives for shard in archive.shards]
        self.steps = self.order.steps * settings.data.epochs
        self.stepper = build_stepper(settings, self.towers, device, steps=self.steps, compiles=compiles)
        self.slicing = Slicing(store, settings.loop.accumulate, device)
        self.progress = Progress(
            step=0,
            settings=settings.of_kind(SettingScope.TRAINING),
            seals=[archive.seal for archive in archives],
        )
        self.log: list[dict[str, Any]] = []
        if resumed := load_newest(self.store, self.stepper, self.progress):
            self.progress, self.log = resumed
        elif start:
            self.progress = replace(self.progress, started_from=load_start(start, self.stepper.clip, self.progress))
        if rank() == 0:
            check_room(self.store, self.towers.clip)
        self.records = StepRecords(device)
        self._read = embeddings_read(settings.loss)
        self._saved = time.monotonic()

    def check_shards(self) -> None:
        """Each rank compares its share of the shards with the seal, and holds their captions against the context."""
        counter = replace(self.decoder)  # what a decoder has loaded would travel to the reading processes

        def check(shard: Shard) -> None:
            if self.settings.data.check == "digests":
                shard.check_content(counter.check_caption)
                return
            shard.check_size()
            if not self.progress.step:  # a step was done only after all ranks had counted the same archive's captions
                shard.check_captions(counter.check_caption)

        for _ in in_threads(check, self.shards[rank() :: world_size()]):
            pass

    def trackers(self) -> AbstractContextManager[Track]:
        """Of this run; only rank 0 has any."""
        wishes = self.settings.trackers if rank() == 0 else TrackerSettings()
        identity = run_identity(self.store) if wishes.wandb else ""
        return trackers(wishes, identity, dict(self.progress.settings), self.progress.step)

    def go(self, tell: Listener) -> None:
        """Steps to the end."""
        first = self.progress.step
        stream = RankStream(
            shards=self.shards,
            order=self.order,
            decoder=self.decoder,
            rank=rank(),
            ranks=world_size(),
            first_step=first,
            last_step=self.steps,
        )
        workers = choose_workers(self.settings.data.workers, self.device, self.order.streams // world_size())
        feeder = Feeder(stream.batches(workers), self._collate, self.device, ahead=workers > 0)
        with CheckpointWriter(self.store, keep=self.settings.loop.keep_checkpoints) as writer, feeder:
            self._began, self._waited = time.monotonic(), 0.0
            for step, batch in enumerate(feeder, first):
                if world_size() > 1 and step == first:
                    rows, cut = len(batch.samples), partial(feeder.copy, batch.samples)
                    self.slicing.agree(self.stepper, rows, cut, bf16=self._bf16)
                self._waited += batch.waited
                self._step(step, batch, feeder)
                self._take_records(tell)
                writer.check()
                if rank() == 0 and self._is_checkpoint_due(step + 1):
                    self._take_records(tell, everything=True)
                    writer.begin(self.stepper, self.progress, self.log)
                    self._saved = time.monotonic()
            self._take_records(tell, everything=True)

    def _step(self, step: int, batch: FedBatch, feeder: Feeder) -> None:
        """Asks the device for a step; its record comes later."""
        self._seed(step)
        losses = self._backward(batch, feeder)
        self.stepper.update(step, self.records.add(step + 1, losses, batch.samples))

    def _seed(self, step: int) -> None:
        """All randomness of a step is a function of seed, step and rank, so that no generator need be saved."""
        seed = hash((self.settings.loop.seed, step, rank()))
        (torch.cuda.manual_seed if self.device.type == "cuda" else torch.default_generator.manual_seed)(seed)

    def _backward(self, batch: FedBatch, feeder: Feeder) -> dict[str, Tensor]:
        """Gradients and losses of the rank's batch, in more slices where the memory does not hold it (``Slicing``)."""
        slices, rows = batch.slices, len(batch.samples)
        while True:
            if len(slices[0].pixels) != self.slicing.rows_at_once(rows):  # fed before the number of slices grew
                slices = feeder.copy(batch.samples)
            try:
                self._flops = self._count_flops(slices)
                return self.stepper.backward(slices, bf16=self._bf16)
            except torch.OutOfMemoryError:
                if world_size() > 1:
                    self.slicing.remember(rows)
                    raise
                if not self.slicing.double(rows):
                    raise
            free_failed_step(self.stepper, self.device)

    def _collate(self, samples: Sequence[Sample]) -> list[Batch]:
        """The batch in slices; the feeder's thread calls it, too."""
        size = self.slicing.rows_at_once(len(samples))
        return [collate(samples[i : i + size], self._read) for i in range(0, len(samples), size)]

    def _count_flops(self, slices: Sequence[Batch]) -> float:
        """Operations of a step; 0 where they are not known."""
        counts = [
            flops.step_flops(self.towers.config, len(one.pixels), one.texts.runs, fine=self._read.fine)
            for one in slices
        ]
        return sum(count or 0.0 for count in counts)

    def _take_records(self, tell: Listener, *, everything: bool = False) -> None:
        """Logs and reports the steps whose figures have come. StageError at a loss that is not finite."""
        for record in self.records.read(everything=everything):
            _require_finite(record)
            self.progress = replace(self.progress, step=record.step, replaced=self.progress.replaced + record.replaced)
            self.log.append(record.line)
            if rank() == 0:
                tell(self._report(record))

    def _report(self, record: StepRecord) -> StepReport:
        taken, waited = max(1e-9, time.monotonic() - self._began), self._waited
        self._began, self._waited = time.monotonic(), 0.0
        peak = flops.peak(self.device, bf16=self._bf16)
        return StepReport(
            step=record.step,
            steps=self.steps,
            losses=dict(record.losses),
            seconds=taken,
            samples_per_second=self.order.batch / taken,
            replaced=self.progress.replaced,
            mfu=self._flops / taken / peak if peak and self._flops else None,
            waiting=min(1.0, waited / taken),
        )

    @property
    def _bf16(self) -> bool:
        return steps_in_bf16(self.settings.loop, self.device)

    def _is_checkpoint_due(self, step: int) -> bool:
        loop = self.settings.loop
        late = time.monotonic() - self._saved > loop.checkpoint_minutes * 60
        return late or step % loop.checkpoint_steps == 0 or step == self.steps


def _require_finite(record: StepRecord) -> None:
    if not math.isfinite(record.losses["loss"]):
        terms = ", ".join(f"{name} {value:.4g}" for name, value in record.losses.items() if name != "loss")
        steps = record.step - 1
        raise StageError(f"the loss is not finite at step {steps} ({terms}); remedy: {remedy_for_nan(steps)}")


def _order(settings: TrainSettings, archives: Sequence[SealedArchive]) -> Order:
    data = settings.data
    return Order(
        archives=[[shard.samples for shard in archive.shards] for archive in archives],
        weights=[share.weight for share in data.archives] or [1.0],
        seed=settings.loop.seed,
        batch=data.batch,
        streams=data.streams,
        buffer=data.buffer,
    )


def open_archives(settings: TrainSettings, root: str) -> list[SealedArchive]:
    """Those that the settings name, or the one at ``root``. ConfigError where neither names one."""
    roots = [share.root for share in settings.data.archives] or [root]
    if not all(roots):
        raise ConfigError("no archive: neither --root nor data.archives names one")
    return [open_archive(name, settings.data.sets) for name in roots]
