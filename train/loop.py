"""The training run of one rank: check the archive, continue from the last checkpoint, step, save, export."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from moodarchive.errors import ConfigError
from moodarchive.running.parallel_map import in_threads
from moodarchive.settings import SettingScope
from moodarchive.storage.store import Store
from train import flops
from train.archive import SealedArchive, Shard, open_archive
from train.checkpoint import Progress, check_room, load_newest, save
from train.compiling import check_compiler, compile_blocks
from train.export import export
from train.fingerprint import fingerprint, key_halves
from train.gather import mean_over_ranks, process_group, rank, sum_over_ranks, world_size
from train.model import MoodifyClip
from train.order import Order
from train.samples import Decoder, Sample, collate
from train.settings import TrackerSettings, TrainSettings
from train.step import Stepper
from train.stream import RankStream
from train.towers import Towers, open_towers
from train.trackers import Track, trackers


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What a step did; losses are means over the batch of all ranks."""

    step: int
    steps: int
    losses: dict[str, float]
    samples_per_second: float
    replaced: int
    mfu: float | None
    """The share of the GPU's peak that the towers' operations are; None where the peak is not known"""

    @property
    def figures(self) -> dict[str, float]:
        """What changes from step to step, by name."""
        mfu = {} if self.mfu is None else {"mfu": self.mfu}
        return {**self.losses, "samples_per_second": self.samples_per_second, "replaced": self.replaced, **mfu}


Listener = Callable[[StepReport], None]


def train(settings: TrainSettings, root: str, tell: Listener) -> Store:
    """Trains to the end, or goes on where the last checkpoint stands; returns the store that holds ``model/``.

    Under torchrun each process is one rank; without it this process is the only one. ``tell`` hears every step on rank
    0. ``root`` is used when the settings name no archive.
    """
    with process_group():
        if settings.loop.threads:
            torch.set_num_threads(settings.loop.threads)
        run = _Run(settings, _archives(settings, root))
        run.check_shards()
        with run.trackers() as track:

            def told(report: StepReport) -> None:
                track(report.step, report.figures)
                tell(report)

            run.go(told)
        if rank() == 0:
            export(run.store, run.towers, run.progress, run.settings)
        return run.store


class _Run:
    """One rank's state between steps."""

    def __init__(self, settings: TrainSettings, archives: Sequence[SealedArchive]) -> None:
        self.settings = settings
        self.store = Store(settings.output or archives[0].root)
        self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) if torch.cuda.is_available() else 0)
        if not torch.cuda.is_available():
            self.device = torch.device("cpu")
        if settings.loop.compile:
            check_compiler(self.device)
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
        self.stepper = Stepper(self._model(), settings.optimiser, settings.loss, steps=self.steps)
        self.progress = Progress(
            step=0,
            settings=settings.of_kind(SettingScope.TRAINING),
            seals=[archive.seal for archive in archives],
        )
        self.log: list[dict[str, Any]] = []
        if found := load_newest(self.store, self.stepper, self.progress):
            self.progress, self.log = found
        if rank() == 0:
            check_room(self.store, self.towers.clip)
        self._saved = time.monotonic()

    def _model(self) -> nn.Module:
        if self.settings.loop.activation_checkpoints:
            self.towers.clip.set_grad_checkpointing(True)
        model: nn.Module = (
            MoodifyClip(self.towers.clip, self.towers.preprocess_config, **self._read).to(self.device).train()
        )
        if self.settings.loop.compile:
            compile_blocks(self.towers.clip)
        if world_size() == 1:
            return model
        devices = [self.device.index] if self.device.type == "cuda" else None
        # a term that is switched off leaves no parameter without gradient: all towers serve the terms that remain
        return nn.parallel.DistributedDataParallel(model, device_ids=devices)

    def check_shards(self) -> None:
        """Each rank compares its share of the shards with the seal, and holds their captions against the context."""
        counter = replace(self.decoder)  # what a decoder has loaded would travel to the reading processes

        def checked(shard: Shard) -> None:
            if self.settings.data.check == "digests":
                shard.check_content(counter.check_caption)
                return
            shard.check_size()
            if not self.progress.step:  # a step was done only after all ranks had counted the same archive's captions
                shard.check_captions(counter.check_caption)

        for _ in in_threads(checked, self.shards[rank() :: world_size()]):
            pass

    def trackers(self) -> AbstractContextManager[Track]:
        """Of this run; only rank 0 has any."""
        asked = self.settings.trackers if rank() == 0 else TrackerSettings()
        return trackers(asked, self.store.root, dict(self.progress.settings), self.progress.step)

    def go(self, tell: Listener) -> None:
        """Steps to the end."""
        stream = RankStream(
            shards=self.shards,
            order=self.order,
            decoder=self.decoder,
            rank=rank(),
            ranks=world_size(),
            first_step=self.progress.step,
            last_step=self.steps,
        )
        self._began = time.monotonic()
        for samples in stream.batches(self.settings.data.workers):
            losses = self._step(samples)
            report = self._reported(losses)
            if rank() == 0:
                tell(report)
                self._save_if_due()

    def _reported(self, losses: dict[str, float]) -> StepReport:
        taken = max(1e-9, time.monotonic() - self._began)
        self._began = time.monotonic()
        peak = flops.peak(self.device, bf16=self._bf16)
        return StepReport(
            step=self.progress.step,
            steps=self.steps,
            losses=losses,
            samples_per_second=self.order.batch / taken,
            replaced=self.progress.replaced,
            mfu=self._flops / taken / peak if peak and self._flops else None,
        )

    def _step(self, samples: Sequence[Sample]) -> dict[str, float]:
        step = self.progress.step
        size = -(-len(samples) // self.settings.loop.accumulate)
        slices = [collate(samples[i : i + size], **self._read).on(self.device) for i in range(0, len(samples), size)]
        # all randomness of a step is a function of seed, step and rank, so that no generator need be saved
        seed = hash((self.settings.loop.seed, step, rank()))
        (torch.cuda.manual_seed if self.device.type == "cuda" else torch.default_generator.manual_seed)(seed)
        losses = self.stepper(slices, step, bf16=self._bf16)
        counts = [
            flops.step_flops(self.towers.config, len(one.pixels), one.texts.groups, fine=self._read["fine"])
            for one in slices
        ]
        self._flops = sum(count or 0.0 for count in counts)
        names = list(losses)
        means = mean_over_ranks(torch.tensor([losses[name] for name in names], dtype=torch.float64))
        told = sum_over_ranks(
            torch.tensor([sum(len(s.replaced) for s in samples), *key_halves([s.key for s in samples])])
        )
        losses = dict(zip(names, means.tolist(), strict=True))
        self.progress = replace(self.progress, step=step + 1, replaced=self.progress.replaced + int(told[0]))
        self.log.append({"step": step + 1, "keys": f"{fingerprint(told[1:]):016x}", **losses})
        return losses

    @property
    def _read(self) -> dict[str, bool]:
        """Which embeddings the losses read."""
        return {"short": self.settings.loss.reads_short, "fine": self.settings.loss.reads_stimuli}

    @property
    def _bf16(self) -> bool:
        precision = self.settings.loop.precision
        return precision == "bf16" or (precision == "auto" and self.device.type == "cuda")

    def _save_if_due(self) -> None:
        loop = self.settings.loop
        late = time.monotonic() - self._saved > loop.checkpoint_minutes * 60
        if late or self.progress.step % loop.checkpoint_steps == 0 or self.progress.step == self.steps:
            save(self.store, self.stepper, self.progress, self.log, keep=loop.keep_checkpoints)
            self._saved = time.monotonic()


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


def _archives(settings: TrainSettings, root: str) -> list[SealedArchive]:
    roots = [share.root for share in settings.data.archives] or [root]
    if not all(roots):
        raise ConfigError("no archive: neither --root nor data.archives names one")
    return [open_archive(name, settings.data.sets) for name in roots]
