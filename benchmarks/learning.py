"""Does the training learn? MoodifyCLIP's four losses against their start, short captions alone, and table 3's ablation.

``--arms options`` compares the options that the authors' code has, each alone and all at once. Everything is drawn: a
small world that proves that the training learns, and says nothing about real emotions. The table goes to stderr, the
claims to stdout.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
HOUSE = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOUSE), str(HOUSE / "benchmarks")]
os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:2])  # for the processes that draw

from synthetic.drawn_captions import as_the_web_would, in_five_sentences  # noqa: E402
from synthetic.drawn_emotions import CELLS, draw_emotion  # noqa: E402

from moodarchive.emotions.taxonomy import EMOTIONS  # noqa: E402
from moodarchive.models.clip import ClipEncoder  # noqa: E402
from moodarchive.storage.store import Store  # noqa: E402
from pipelines.demo.drawn_samples import Drawing, draw_samples  # noqa: E402
from pipelines.demo.made_archive import seal_made  # noqa: E402
from pipelines.demo.scenes.scene import DRAWN_EMOTIONS  # noqa: E402
from train.data.archive import open_archive  # noqa: E402
from train.evaluation.evaluate import Embedded, embed_archive, emotion_embeddings, evaluate_embedded  # noqa: E402
from train.loop import train  # noqa: E402
from train.settings import TrainSettings  # noqa: E402

SIDE, SIZE = 64, (112, 84)
RATE = 1e-3
FIRST_SEEDS = {"start": 3_000_000_000, "train": 2_000_000_000, "validation": 1_999_000_000, "heldout": 0}
EMOTION, SIX = "zero-shot, emotions", "zero-shot, six"
MEASURED = (EMOTION, SIX, "image to text, R@1", "text to image, R@1")
"""EMOTION (all 27) and retrieval as ``moodarchive eval`` has them; SIX: pictures of one scene among their six names."""
OURS, START, SHORT = "all four terms", "the start", "short captions alone"
Loss = dict[str, float | str]
ALONE: Loss = {"full": 0, "fine_grained": 0, "transport": 0}
TABLE: dict[str, Loss] = {
    SHORT: ALONE,
    "no FG, no OT": {"fine_grained": 0, "transport": 0},
    "no OT": {"transport": 0},
    "no FG": {"fine_grained": 0},
    OURS: {},
}
OPTIONS: dict[str, Loss] = {
    "FG against the image": {"negatives": "image"},
    "FG against the batch": {"negatives": "batch"},
    "five sentences": {"parts": 5},
    "weights by cosines": {"attention": "cosine"},
    "labels smoothed by 0.1": {"label_smoothing": 0.1},
    "short text as a sum": {"short_text": "sum"},
    "32 components": {"short_components": 32},
}
THEIRS: Loss = {name: value for options in OPTIONS.values() for name, value in options.items()} | {"negatives": "batch"}
ARMS = {**TABLE, **OPTIONS, "as the authors' code": THEIRS}
"""Of the loss; what an arm does not name is as ``LossSettings`` has it."""
MODEL: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": SIDE, "layers": 3, "width": 64, "patch_size": 8, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
Figures = dict[str, tuple[float, float]]
PREPROCESS = {"size": [SIDE, SIDE], "mode": "RGB", "mean": [0.5] * 3, "std": [0.25] * 3, "resize_mode": "squash"}


def random_clip(folder: Path, seed: int) -> str:
    """The name by which open_clip loads a small ViT CLIP of random weights."""
    from moodarchive.models.torch_compat import import_torchvision_safely

    import_torchvision_safely()
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    weights = {name: tensor.contiguous() for name, tensor in open_clip.CLIP(**MODEL).state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}))
    return f"local-dir:{folder}"


def draw(folder: Path, per_cell: int, measured_per_cell: int) -> tuple[str, str]:
    """The roots of the start's archive and of the one with five sentences; no seed is drawn for two sets."""
    start, told = Store(str(folder / "web")), Store(str(folder / "told"))
    sizes = {"train": per_cell, "validation": measured_per_cell, "heldout": measured_per_cell}
    web = Drawing(split="train", first_seed=FIRST_SEEDS["start"], per_cell=per_cell, size=SIZE)
    drawn = partial(draw_samples, cells=CELLS, draw=draw_emotion)
    seal_made(start, drawn(web, as_the_web_would))
    drawings = [
        Drawing(split=split, first_seed=FIRST_SEEDS[split], per_cell=count, size=SIZE) for split, count in sizes.items()
    ]
    seal_made(told, [made for one in drawings for made in drawn(one, in_five_sentences)])
    return start.root, told.root


def trained(name: str, root: str, output: Path, epochs: int, seed: int, **of_run: Any) -> str:
    """The model after so many epochs in batches of 48, as open_clip loads it."""
    settings = TrainSettings.model_validate(
        {
            "output": str(output),
            "data": {"batch": 48, "epochs": epochs, "streams": 8, "buffer": 512, "workers": 0},
            "model": {"name": name, "pretrained": "", "long_text": of_run["long_text"]},
            "loss": of_run["loss"],
            "optimiser": {"learning_rate": RATE, "warmup_steps": 10},
            "loop": {"seed": seed, "precision": "fp32", "threads": 1, "checkpoint_steps": 10_000},
        }
    )
    return f"local-dir:{train(settings, root, lambda report: None).root}/model"


def measured(root: str, of_set: str, model: str) -> Figures:
    """Figure → its mean and chance, in per cent."""
    encoder = ClipEncoder(model=model)
    found = embed_archive(open_archive(root, (of_set,)), encoder)
    told = evaluate_embedded(found, encoder).figures
    figures = {name: (told[name].mean, told[name].chance) for name in MEASURED if name != SIX}
    return {**figures, SIX: (_named_among_six(found, encoder), 100 / len(DRAWN_EMOTIONS))}


def _named_among_six(found: Embedded, encoder: ClipEncoder) -> float:
    prompts = emotion_embeddings(encoder)[[EMOTIONS.index(emotion) for emotion in DRAWN_EMOTIONS]]
    guesses = (found.images @ prompts.T).argmax(axis=1)
    pairs = zip(guesses, found.emotions, strict=True)
    return 100 * fmean(DRAWN_EMOTIONS[guess] == own for guess, own in pairs if own in DRAWN_EMOTIONS)


def one_seed(seed: int, folder: Path, roots: tuple[str, str], options: argparse.Namespace) -> dict[str, Figures]:
    """Arm → figures; the start and all arms of one seed."""
    web, told = roots
    at = folder / str(seed)
    start = trained(
        random_clip(at / "random", seed), web, at / "start", options.start_epochs, seed,
        long_text=False, loss=ALONE,
    )  # fmt: skip
    found: dict[str, Figures] = {}

    def measure(name: str, model: str) -> None:
        found[name] = measured(told, options.set, model)
        values = ", ".join(f"{found[name][shown][0]:.1f}" for shown in MEASURED)
        print(f"seed {seed}, {name}: {values}; {time.process_time():.0f} s of CPU", file=sys.stderr, flush=True)

    measure(START, start)
    for place, name in enumerate(options.arms):
        output = at / f"arm{place}"
        measure(name, trained(start, told, output, options.epochs, seed, long_text=True, loss=ARMS[name]))
        shutil.rmtree(output)
    return found


def run(folder: Path, options: argparse.Namespace) -> dict[str, list[Figures]]:
    """Arm → figures of each seed."""
    roots = draw(folder, options.per_cell, options.measured_per_cell)
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        ask = partial(one_seed, folder=folder, roots=roots, options=options)
        seeds = list(pool.map(ask, range(options.first_seed, options.first_seed + options.seeds)))
    return {name: [found[name] for found in seeds] for name in seeds[0]}


def _error(values: list[float]) -> float:
    """The standard error of the mean."""
    return stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def _error_of_difference(ours: list[float], theirs: list[float]) -> tuple[float, float]:
    """Paired by seed (both arms go on from one start), and as if the two were independent."""
    paired = [one - other for one, other in zip(ours, theirs, strict=True)]
    return _error(paired), (_error(ours) ** 2 + _error(theirs) ** 2) ** 0.5


def table(found: dict[str, list[Figures]]) -> str:
    """Means and standard errors over the seeds, and what all four terms are above each other arm, in Markdown."""
    lines = [f"| arm | {' | '.join(MEASURED)} |", "|---|" + "---|" * len(MEASURED)]
    chances = [fmean(figures[name][1] for figures in found[START]) for name in MEASURED]
    lines.append(f"| chance | {' | '.join(f'{chance:.1f}' for chance in chances)} |")
    columns = {arm: [[figures[name][0] for figures in seeds] for name in MEASURED] for arm, seeds in found.items()}
    for arm, of in columns.items():
        lines.append(f"| {arm} | {' | '.join(f'{fmean(c):.1f} ± {_error(c):.1f}' for c in of)} |")
    for arm in (START, SHORT) if {OURS, SHORT} <= set(columns) else ():
        cells = []
        for ours, theirs in zip(columns[OURS], columns[arm], strict=True):
            paired, unpaired = _error_of_difference(ours, theirs)
            cells.append(f"{fmean(ours) - fmean(theirs):+.1f} ± {paired:.1f} paired, {unpaired:.1f} not")
        lines.append(f"| {OURS}, above {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def claims(found: dict[str, list[Figures]]) -> list[dict[str, object]]:
    """The start against thrice chance; all four terms, less two standard errors of the difference (the larger of
    paired and unpaired), against the start and short captions alone."""
    told = []
    for name in MEASURED:
        of = {arm: [figures[name][0] for figures in seeds] for arm, seeds in found.items()}
        chance = fmean(figures[name][1] for figures in found[START])
        told.append(_claim(f"{name}: the start against chance", fmean(of[START]), chance, 3.0))
        for other in (START, SHORT):
            lower = fmean(of[OURS]) - 2 * max(_error_of_difference(of[OURS], of[other]))
            claim = f"{name}: {OURS} less two standard errors of the difference, against {other}"
            told.append(_claim(claim, lower, fmean(of[other]), 1.0))
    return told


def _claim(claim: str, ours: float, peer: float, bar: float) -> dict[str, object]:
    ratio = round(ours / peer, 3) if peer else float("inf")
    return {
        "claim": claim, "ours": round(ours, 2), "peer": round(peer, 2), "unit": "%", "ratio": ratio,
        "bar": bar, "met": ratio >= bar,
    }  # fmt: skip


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seeds", type=int, default=4)
    asked.add_argument("--first-seed", type=int, default=1, help="others for choices")
    asked.add_argument("--epochs", type=int, default=3)
    asked.add_argument("--start-epochs", type=int, default=2)
    asked.add_argument("--per-cell", type=int, default=40)
    asked.add_argument("--measured-per-cell", type=int, default=8)
    asked.add_argument("--processes", type=int, default=2, help="seeds at a time")
    asked.add_argument("--set", default="heldout", choices=("heldout", "validation"), help="validation for choices")
    asked.add_argument("--arms", nargs="+", default=list(TABLE), choices=[*ARMS, "options"])
    options = asked.parse_args()
    if "options" in options.arms:
        options.arms = [OURS, *(name for name in ARMS if name not in TABLE)]
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), options)
    print(table(found), file=sys.stderr)
    if {OURS, SHORT} <= set(found):
        told = claims(found)
        for claim in [*told, min(told, key=lambda one: float(str(one["ratio"])) / float(str(one["bar"])))]:
            print(json.dumps(claim))


if __name__ == "__main__":
    main()
