"""A training step beside open_clip's own trainer, and the stream beside plain webdataset, on the same archive.

Without a GPU the model has ViT-B/16's geometry (224 pixels, patches of 16, widths 768 and 512, 248 positions) with two
layers a tower instead of twelve, so that towers and losses keep their proportion at a batch of 16; both sides run on
one thread and are measured in seconds of CPU time, which other programs disturb little. With a GPU, ViT-B/16 and
ViT-L/14 are stepped whole, in bf16, by the clock. ``--wall`` measures the CPU by the clock too, on all threads, and
the stream with two reading processes. Weights are random; generation is not timed.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

HOUSE = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOUSE), str(HOUSE / "benchmarks")]

from moodarchive.models.torch_compat import import_torchvision_safely  # noqa: E402

import_torchvision_safely()
import open_clip  # noqa: E402
import torch  # noqa: E402
import webdataset  # noqa: E402
from open_clip_train.scheduler import cosine_lr  # noqa: E402
from open_clip_train.train import train_one_epoch  # noqa: E402
from synthetic.captioned import seal_captioned  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from moodarchive.models.long_text import stretch  # noqa: E402
from train.data.archive import Shard, open_archive  # noqa: E402
from train.data.batch import Batch  # noqa: E402
from train.data.order import Order  # noqa: E402
from train.data.samples import Decoder, Sample, collate  # noqa: E402
from train.data.stream import RankStream  # noqa: E402
from train.model.moodify_clip import MoodifyClip  # noqa: E402
from train.settings import LossSettings, OptimiserSettings  # noqa: E402
from train.step.build import embeddings_read  # noqa: E402
from train.step.stepper import Stepper  # noqa: E402

PARTS, ROWS, CONTEXT = 4, 32, 248
STREAM_BATCH, PREFETCHED = 16, 4
FULL_ALONE = LossSettings(short=0, fine_grained=0, transport=0)
LAYERS = {"ViT-B-16-quickgelu": 12, "ViT-L-14-quickgelu": 12}
PREPARED = {"size": [224, 224], "mode": "RGB", "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}
WALL = torch.cuda.is_available() or "--wall" in sys.argv
WORKERS = 2 if WALL else 0
SECOND = "s" if WALL else "CPU s"
clock = time.perf_counter if WALL else time.process_time
Step = Callable[[], object]


def decoder() -> Decoder:
    """Pictures of 224 pixels, CLIP's tokens."""
    return Decoder(model="ViT-B-16", context=CONTEXT, preprocess_config=PREPARED, seed=0)


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """[..., 3, H, W] of [..., H, W, 3] bytes, as torchvision's ToTensor and Normalize do it."""
    return pixels.movedim(-1, -3).contiguous().float().div_(255).sub_(0.5).div_(0.5)


def stream(shards: Sequence[Shard], batch: int, steps: int) -> RankStream:
    """One rank's stream, with as many canonical streams as there are shards."""
    order = Order(
        archives=[[shard.samples for shard in shards]], weights=[1.0], seed=0, batch=batch, streams=len(shards)
    )
    return RankStream(
        shards=shards, order=order, decoder=decoder(), rank=0, ranks=1, first_step=0, last_step=steps
    )  # fmt: skip


def a_model(config: dict[str, Any], device: torch.device) -> Any:
    """Random weights, the same each time, stretched to 248 positions."""
    torch.manual_seed(0)
    clip = open_clip.CLIP(**config, output_dict=True)
    stretch(clip)
    return clip.to(device).train()


def our_step(clip: Any, losses: LossSettings, samples: Sequence[Sample], device: torch.device) -> Step:
    """A step of ours over the samples as one batch."""
    read = embeddings_read(losses)
    stepper = Stepper(MoodifyClip(clip, PREPARED, read).to(device).train(), OptimiserSettings(), losses, steps=1_000)

    def step() -> dict[str, float]:
        return stepper([collate(samples, read).on(device)], 0, bf16=device.type == "cuda")

    return step


class Trainers:
    """The same model thrice: open_clip's trainer, our step with L_f alone, our step with all four losses."""

    def __init__(self, config: dict[str, Any], samples: Sequence[Sample], device: torch.device) -> None:
        self.samples, self.device, self.bf16 = samples, device, device.type == "cuda"
        self.ours_alone = our_step(a_model(config, device), FULL_ALONE, samples, device)
        self.ours_whole = our_step(a_model(config, device), LossSettings(), samples, device)
        self.peer = self._peer(a_model(config, device))

    def _peer(self, clip: Any) -> Step:
        """open_clip's train_one_epoch over one batch, its texts padded to the context as its tokenizer pads them."""
        texts = torch.zeros(len(self.samples), CONTEXT, dtype=torch.long)
        for row, sample in enumerate(self.samples):
            texts[row, : len(sample.full)] = torch.tensor(sample.full)
        given = OptimiserSettings()
        plain = [p for name, p in clip.named_parameters() if p.ndim < 2 or "ln" in name or "bias" in name]
        chosen = {id(p) for p in plain}
        optimiser = torch.optim.AdamW(
            [
                {"params": plain, "weight_decay": 0.0},
                {"params": [p for p in clip.parameters() if id(p) not in chosen], "weight_decay": given.weight_decay},
            ],
            lr=given.learning_rate, betas=(given.beta1, given.beta2), eps=given.epsilon,
        )  # fmt: skip
        loader = _Loader([(normalise(torch.stack([sample.pixels for sample in self.samples])), texts)])
        loss = open_clip.ClipLoss(cache_labels=True)
        peer_options = Namespace(
            device=str(self.device), precision="amp_bf16" if self.bf16 else "fp32", distill=False, accum_freq=1,
            skip_scheduler=False, horovod=False, grad_clip_norm=None, log_every_n_steps=1, rank=0, world_size=1,
            batch_size=len(self.samples), wandb=False, log_local=False,
        )  # fmt: skip
        schedule = cosine_lr(optimiser, given.learning_rate, given.warmup_steps, 1_000)
        data = {"train": _Data(loader)}
        return partial(train_one_epoch, clip, data, loss, 0, optimiser, None, schedule, None, peer_options)


class _Loader(list[Any]):
    """Batches in memory, with what open_clip's trainer asks of a loader."""

    num_batches = 1

    @property
    def num_samples(self) -> int:
        return len(self[0][0])


class _Data:
    def __init__(self, dataloader: _Loader) -> None:
        self.dataloader = dataloader

    def set_epoch(self, epoch: int) -> None:
        """The order is the same in each."""


def seconds(step: Step) -> float:
    """Of one step, whatever it left running on a GPU included."""
    began = clock()
    step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - began


def measure_interleaved(steps: dict[str, Step], rounds: int) -> dict[str, float]:
    """Each step's median, after one that is not counted; every round starts with another one."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        names = list(steps)[number % len(steps) :] + list(steps)[: number % len(steps)]
        for name in names:
            once = seconds(steps[name])
            if number:
                taken[name].append(once)
    return {name: statistics.median(all_of) for name, all_of in taken.items()}


def step_claims(name: str, config: dict[str, Any], samples: Sequence[Sample], rounds: int) -> list[dict[str, object]]:
    """L_f alone, and all four losses, beside open_clip's trainer."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainers = Trainers(config, samples, device)
    steps = {"peer": trainers.peer, "alone": trainers.ours_alone, "whole": trainers.ours_whole}
    medians = measure_interleaved(steps, rounds)
    where, n = f"{name}, batch {len(samples)}", len(samples)
    alone_bar, whole_bar = (1.25, 1.0) if device.type == "cuda" else (1.4, 1 / 0.85)
    return [
        claim(f"{where}: L_f alone", n / medians["alone"], n / medians["peer"], f"samples/{SECOND}", alone_bar),
        claim(f"{where}: all four losses, transport within the batch", medians["whole"], medians["peer"], SECOND,
              whole_bar, cost=True),
    ]  # fmt: skip


def gpu_memory(name: str, config: dict[str, Any], samples: Sequence[Sample]) -> dict[str, object]:
    """What our step with all four losses takes of the GPU at this batch, and the largest doubling of it that fits."""
    device, batch, peak = torch.device("cuda"), len(samples), 0.0
    clip = a_model(config, device)
    largest = 0
    while True:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        try:
            our_step(clip, LossSettings(), list(islice(cycle(samples), batch)), device)()
            torch.cuda.synchronize()
        except torch.cuda.OutOfMemoryError:
            return {"measured": f"{name}, all four losses", "peak_gib": round(peak, 2), "batch": len(samples),
                    "largest_batch": largest}  # fmt: skip
        peak = peak or torch.cuda.max_memory_allocated() / 2**30
        largest, batch = batch, 2 * batch


def reduce_config(layers: int) -> dict[str, Any]:
    """ViT-B/16's geometry with so many layers a tower."""
    config: dict[str, Any] = open_clip.get_model_config("ViT-B-16-quickgelu")
    config["vision_cfg"]["layers"] = config["text_cfg"]["layers"] = layers
    return config


def _decode_to_floats(decode: Decoder, sample: dict[str, Any]) -> Sample:
    """With floats, as a transform of open_clip's ends."""
    sample = decode(sample["__key__"], 0, sample["jpg"], sample["json"])
    return sample._replace(pixels=normalise(sample.pixels))


def webdataset_batches(root: str, shards: Sequence[Shard]) -> Iterator[Batch]:
    """The same shards, decoder, batch, workers and shuffle buffers through webdataset."""
    urls = [f"{root}/{shard.tar}" for shard in shards]
    buffer = 64 * len(shards) // max(1, WORKERS)
    dataset = webdataset.WebDataset(urls, shardshuffle=False).repeat().shuffle(buffer, initial=buffer)
    dataset = dataset.map(partial(_decode_to_floats, decoder())).batched(STREAM_BATCH, collation_fn=collate)
    if not WORKERS:
        return iter(dataset)
    loader = DataLoader(
        dataset, batch_size=None, num_workers=WORKERS, multiprocessing_context="spawn", prefetch_factor=PREFETCHED
    )
    return iter(loader)


def stream_claim(root: str, rounds: int, batches: int) -> dict[str, object]:
    """Batches from either, in turns, once its workers' prefetched ones are used up.

    What takes them has one thread: a second one would spin beside the readers.
    """
    torch.set_num_threads(1)
    shards = open_archive(root).shards
    raw = (collate(batch) for batch in stream(shards, STREAM_BATCH, 10**6).batches(WORKERS))
    ours = (batch._replace(pixels=normalise(batch.pixels)) for batch in raw)
    feeds: dict[str, Iterator[Batch]] = {"ours": ours, "peer": webdataset_batches(root, shards)}
    rates: dict[str, list[float]] = {name: [] for name in feeds}
    for number in range(rounds + 1):
        for name in sorted(feeds, reverse=number % 2 == 0):
            time.sleep(bool(WORKERS))  # the other one's workers fill their queues, and rest
            for _ in islice(feeds[name], WORKERS * PREFETCHED + WORKERS):
                pass
            began = clock()
            for _ in islice(feeds[name], batches):
                pass
            if number:
                rates[name].append(batches * STREAM_BATCH / (clock() - began))
    medians = {name: statistics.median(all_of) for name, all_of in rates.items()}
    return claim(
        f"the stream alone beside webdataset, {WORKERS or 1} reading",
        medians["ours"],
        medians["peer"],
        f"samples/{SECOND}",
        1.0,
    )


def claim(text: str, ours: float, peer: float, unit: str, bar: float, *, cost: bool = False) -> dict[str, object]:
    """One claim; the ratio is the larger the better."""
    ratio = peer / ours if cost else ours / peer
    return {
        "claim": text, "ours": round(ours, 3), "peer": round(peer, 3), "unit": unit, "ratio": round(ratio, 3),
        "bar": round(bar, 3), "met": round(ratio, 3) >= round(bar, 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=128 if torch.cuda.is_available() else 16)
    parser.add_argument("--layers", type=int, default=2, help="a tower, without a GPU")
    parser.add_argument("--rounds", type=int, default=3, help="of steps; the stream, which is cheap, has twice as many")
    parser.add_argument("--stream-batches", type=int, default=32)
    parser.add_argument("--wall", action="store_true", help="by the clock, on all threads")
    options = parser.parse_args()
    if not WALL:
        torch.set_num_threads(1)
    claims = []
    with tempfile.TemporaryDirectory() as root:
        seal_captioned(root, PARTS, max(ROWS, -(-options.batch // PARTS)))
        samples = next(stream(open_archive(root).shards, options.batch, 1).batches(0))
        lengths = sorted(len(sample.full) for sample in samples)
        print(f"tokens a caption: median {statistics.median(lengths)}, most {lengths[-1]}", file=sys.stderr)
        models = {f"ViT-B/16 of {options.layers} layers, fp32": reduce_config(options.layers)}
        if torch.cuda.is_available():
            models = {f"{name}, bf16": open_clip.get_model_config(name) for name in LAYERS}
        for name, config in models.items():
            for one in step_claims(name, config, samples, options.rounds):
                claims.append(one)
                print(json.dumps(one), flush=True)
            if torch.cuda.is_available():
                print(json.dumps(gpu_memory(name, config, samples)), flush=True)
        claims.append(stream_claim(root, 2 * options.rounds, options.stream_batches))
        print(json.dumps(claims[-1]))
    print(json.dumps(min(claims, key=lambda one: float(str(one["ratio"])) / float(str(one["bar"])))))


if __name__ == "__main__":
    main()
