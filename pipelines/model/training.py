"""Runs a training job from its settings file, and shows on a terminal how it goes."""

import math
import os
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

from moodarchive.errors import ConfigError
from moodarchive.settings import load, read_settings_text
from moodarchive.storage.store import Store
from pipelines.demo.bundled_base import NAME as DEMO
from pipelines.demo.bundled_base import prepare_bundled_base
from pipelines.runner.training_progress import open_step_line, train_and_tell
from train.devices.device import choose_device, explain_device_errors
from train.loop import open_archives
from train.ray_job import train_on_ray
from train.settings import TrainSettings
from train.step.memory import MemoryPlan, plan_memory


def run_training(config: str, root: str, console: Console, start: str = "") -> None:
    """Trains to the end, or goes on from the last checkpoint; of torchrun's ranks only the first one talks.

    The file's ``kind`` says what is trained; without one it is a MoodifyCLIP.
    """
    if os.environ.get("RANK", "0") != "0":
        console = Console(quiet=True)
    text = _read_text(config)
    if kind := kind_of(text, config):
        if root or start:
            raise ConfigError(f"--root and --from are a MoodifyCLIP's; remedy: name the data in {config}")
        KINDS[kind](text, config, console)
        return
    settings = load(TrainSettings, text, config)
    if not settings.model.pretrained and not settings.model.name.startswith("local-dir:"):
        console.print("the model starts from random weights: model.pretrained is empty", style="yellow")
    if settings.ray.workers:
        _done(train_on_ray(settings, root, start), console)
        return
    _done(train_and_tell(settings, root, console, start), console)


def show_memory(config: str, root: str, console: Console) -> None:
    """Says what a step takes of the memory, of one rank of as many as torchrun or the settings name; writes nothing."""
    if os.environ.get("RANK", "0") != "0":
        return
    settings = _load_settings(config)
    device = choose_device()
    ranks = int(os.environ.get("WORLD_SIZE", "0")) or settings.ray.workers or 1
    with explain_device_errors(device):
        plan = plan_memory(settings, open_archives(settings, root)[0], device, ranks)
    for line in _memory_lines(plan, settings):
        console.print(line)


def _memory_lines(plan: MemoryPlan, settings: TrainSettings) -> list[str]:
    how = (
        "measured by steps" if plan.is_measured else "added up from the tensors' shapes; kernels take some beside them"
    )
    lines = [f"memory of a step on {plan.device}, of which {_gib(plan.available)} can be had ({how}):"]
    for slices, peak in plan.peaks.items():
        fits = "fits" if peak <= plan.available else "does not fit"
        of_slices = "in one pass" if slices == 1 else f"in {slices} slices"
        size = "more than there is" if math.isinf(peak) else _gib(peak)
        lines.append(f"  a rank's batch of {plan.rows:,} {of_slices}: {size}, {fits}")
    lines.append(f"  the largest batch of a rank in one pass: {plan.largest:,}")
    slices, peak = next(reversed(plan.peaks.items()))
    if peak > plan.available:
        lines.append("remedy: loop.activation_checkpoints = true, or more memory")
    elif slices > settings.loop.accumulate:
        lines.append(f"the run will cut the batch into {slices} slices by itself, which costs a second forward pass")
    return lines


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"


def kind_of(text: str, origin: str) -> str:
    """What a settings file is of; empty for a MoodifyCLIP. ConfigError for a kind that nothing trains."""
    try:
        kind = tomllib.loads(text).get("kind", "")
    except tomllib.TOMLDecodeError:
        return ""  # reading the settings says what is wrong
    if kind not in ("", *KINDS):
        raise ConfigError(f"{origin}: kind = {kind!r}: legal are {', '.join(KINDS)}, or none for a MoodifyCLIP")
    return str(kind)


def _train_emoeditor(text: str, origin: str, console: Console) -> None:
    from train.emoeditor.run import train_emoeditor
    from train.emoeditor.settings import EmoEditorSettings

    settings = load(EmoEditorSettings, text, origin)
    is_of_demo = settings.base == DEMO
    if is_of_demo:
        settings = settings.model_copy(update={"base": str(prepare_bundled_base().base)})
    with steps_told(console) as tell:
        folder = train_emoeditor(settings, tell)
    opens = f"--base {DEMO} --model {folder}" if is_of_demo else f"--base {folder}"  # demo has settings of its own
    console.print(f"the model is in {folder}: moodarchive edit --method emoeditor {opens}", soft_wrap=True)


def _train_predictor(text: str, origin: str, console: Console) -> None:
    from train.emoeditor.labelled import open_labelled
    from train.emoeditor.predictor import train_predictor
    from train.emoeditor.settings import PredictorSettings

    settings = load(PredictorSettings, text, origin)
    if settings.drawn:
        from pipelines.demo.pairs.labelled import draw_for_predictor

        console.print(f"drawing {settings.drawn:,} places of each kind in every mood", highlight=False)
        pictures, held_out = draw_for_predictor(settings.drawn, settings.side)
    else:
        pictures, held_out = open_labelled(settings)
    with steps_told(console) as tell:
        report = train_predictor(settings, pictures, held_out, tell)
    console.print(
        f"accuracy {report.accuracy:.3f} on {report.rows:,} held-out pictures, temperature {report.temperature:.2f}; "
        f"the predictor is in {report.folder}",
        soft_wrap=True,
    )


def _train_diffusion(text: str, origin: str, console: Console) -> None:
    from pipelines.model.diffusion import train_diffusion
    from train.diffusion.settings import DiffusionSettings

    settings = load(DiffusionSettings, text, origin)
    with steps_told(console) as tell:
        folder = train_diffusion(settings, origin, tell, lambda line: console.print(line, soft_wrap=True))
    console.print(f"the base is in {folder}: moodarchive edit --method infedit --base {folder}", soft_wrap=True)


def _train_epem(text: str, origin: str, console: Console) -> None:
    from train.epem.run import train_epem
    from train.epem.settings import EpemSettings

    settings = load(EpemSettings, text, origin)
    with steps_told(console) as tell:
        folder = train_epem(settings, tell)
    console.print(f"the model is in {folder}: moodarchive edit --method epem --base {folder}", soft_wrap=True)


def _train_captions(text: str, origin: str, console: Console) -> None:
    from train.epem.caption_settings import CaptionEditorSettings
    from train.epem.captions import train_captions

    settings = load(CaptionEditorSettings, text, origin)
    with steps_told(console) as tell:
        folder = train_captions(settings, tell)
    console.print(f"the caption editor is in {folder}", soft_wrap=True)


KINDS: dict[str, Callable[[str, str, Console], None]] = {
    "diffusion": _train_diffusion,
    "emoeditor": _train_emoeditor,
    "epem-captions": _train_captions,
    "predictor": _train_predictor,
    "epem": _train_epem,
}
"""What a settings file's ``kind`` has trained."""


@contextmanager
def steps_told(console: Console) -> Iterator[Callable[[Any], None]]:
    """A line a step on a terminal, else one every ten seconds and one for the last."""
    with open_step_line(console) as show:

        def tell(report: Any) -> None:
            line = (
                f"{report.part}: step {report.step:,}/{report.steps:,}  loss {report.loss:.4f}  {report.seconds:.2f} s"
            )
            show(Text(line, overflow="ellipsis", no_wrap=True), report.step == report.steps)

        yield tell


def _load_settings(config: str) -> TrainSettings:
    return load(TrainSettings, _read_text(config), config)


def _read_text(config: str) -> str:
    return read_settings_text(config, "configs/train/")


def _done(store: Store, console: Console) -> None:
    console.print(f"the model is in {store.root.rstrip('/')}/model, an open_clip folder")
