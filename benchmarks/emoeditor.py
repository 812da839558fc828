"""EmoEditor where the true answer is known: six ablation rows and the untrained one on unseen drawn pairs.

    python benchmarks/emoeditor.py --work runs/emoeditor-bench

trains, for each of three seeds, a predictor, a judge that takes no part in editing, and the four models that the six
rows need; then edits unseen places, with sources of one mood and of two, and prints judge, dB, SSIM, rounds and ESMI
with bootstrap intervals beside the paper's table, and the gates. Without ``--base`` it first trains an autoencoder
under a UNet of random weights. All models go on from one UNet that has learnt to edit by text (``--start-steps``), as
the paper's go on from InstructPix2Pix's; with ``--start-steps 0`` from the base's own. A killed run goes on. What
stands there is kept.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from editor.edit import Edit
from editor.evaluation.esmi import Esmi
from editor.evaluation.frames import Frames
from editor.evaluation.published import EMOEDITOR_ABLATION
from editor.job import settings_with
from editor.loading import load_method
from editor.methods.baselines import ColourTransfer
from editor.methods.emoeditor import EmoEditor
from editor.methods.similarity import grey_ssim
from moodarchive.diffusion.predictor import EmotionPredictor, open_predictor
from moodarchive.emotions.taxonomy import MIKELS, MIKELS_EIGHT, MIKELS_POSITIVE
from pipelines.demo.base_texts import write_bundled_hub
from pipelines.demo.pairs.drawing import KINDS, PAIRED_EMOTIONS, draw_paired
from pipelines.demo.pairs.generators import Generators
from pipelines.demo.pairs.labelled import PREDICTOR_PLACES, draw_labelled
from pipelines.demo.pairs.moods import Mood
from pipelines.demo.pairs.pictures import DrawnPictures
from pipelines.editing.sets.emopair.build import build_pairs
from pipelines.editing.sets.emopair.settings import PairSettings
from train.diffusion.base import train_autoencoder
from train.diffusion.denoiser import make_denoiser
from train.diffusion.folder import write_base
from train.diffusion.settings import DiffusionSettings
from train.emoeditor.model import Frozen, export, make_model
from train.emoeditor.pairs import SealedPairs
from train.emoeditor.predictor import train_predictor
from train.emoeditor.run import MODEL, train_emoeditor
from train.emoeditor.settings import EmoEditorSettings, PredictorSettings

PAIR_PLACES, JUDGE_PLACES, UNSEEN_PLACES = 0, 50_000_000, 60_000_000
"""First places: what is learnt, what is judged and what is edited never meet."""
ARMS: dict[str, dict[str, Any]] = {
    "text": {"condition": "text", "embedding_weight": 0},
    "onehot": {"condition": "onehot", "embedding_weight": 0.5},
    "direction": {"condition": "direction", "embedding_weight": 0.5},
    "direction, no L_emb": {"condition": "direction", "embedding_weight": 0},
}
ROWS = (
    ("text", "text", False), ("text, IEI", "text", True), ("e_oh, L_emb", "onehot", False),
    ("e_dir, L_emb", "direction", False), ("e_dir, IEI", "direction, no L_emb", True),
    ("e_dir, IEI, L_emb", "direction", True),
)  # fmt: skip
"""The paper's, in its order: title, arm, whether the loop runs."""
START_SEED = 1_000_000
BOOTSTRAPS = 2000
WINDOW = 11
"""Of the likeness, in pixels: the paper's 51 of 224 would see hardly more than one place here."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A drawing, the emotion that it shall evoke, and the true answer."""

    source: Image.Image
    target: Image.Image
    emotion: str
    mixed: bool


@dataclass(kw_only=True)
class Scores:
    """A row's figures, one a case."""

    named: list[float]
    psnr: list[float]
    ssim: list[float]
    esmi: list[float]
    rounds: list[float]


def draw_cases(count: int, seed: int, size: int, *, mixed: bool) -> list[Case]:
    """From one valence to the other, as the paper has it; a mixed source lies halfway between two moods."""
    cases = []
    for index in range(count):
        kind, place = KINDS[index % len(KINDS)], UNSEEN_PLACES + seed * 1_000_000 + index
        rng = Generators(f"emoeditor/{kind}/{place}").of("moods")
        target = rng.choice(PAIRED_EMOTIONS)
        others = [name for name in PAIRED_EMOTIONS if is_positive(name) != is_positive(target)]
        before, second = rng.sample(others, 2)
        source = Mood(before, rng.randrange(1 << 30), second if mixed else "")
        drawn = [draw_paired(kind, place, mood, size).image for mood in (source, Mood(target, rng.randrange(1 << 30)))]
        cases.append(Case(source=drawn[0], target=drawn[1], emotion=target, mixed=mixed))
    return cases


def is_positive(emotion: str) -> bool:
    """The valence of one of the drawn emotions."""
    return MIKELS[emotion] in MIKELS_POSITIVE


def train_classifier(options: argparse.Namespace, output: Path, first: int, seed: int) -> Path:
    """A predictor or a judge, by the places from which it learns."""
    if (output / "model" / "config.json").is_file():
        return output / "model"
    steps = options.predictor_steps
    settings = PredictorSettings.model_validate(
        {
            "output": str(output), "hidden_sizes": (32, 64, 96, 128), "depths": (1, 1, 1, 1), "embedding_size": 32,
            "side": options.size, "seed": seed, "threads": options.threads, "checkpoint_steps": max(1, steps // 2),
            "schedule": {
                "steps": steps, "batch": 32, "learning_rate": 2e-3, "decay_steps": max(1, steps // 2), "average": 0,
            },
        }
    )  # fmt: skip
    learnt = draw_labelled(options.labelled_places, first, options.size)
    unseen = draw_labelled(20, first + 900_000, options.size)
    made = train_predictor(settings, learnt, unseen, lambda report: None)
    print(f"{output.name}: accuracy {made.accuracy:.3f} on {made.rows} unseen, temperature {made.temperature:.2f}")
    return made.folder


def prepare_base(options: argparse.Namespace, work: Path) -> Path:
    """The base that is given, or an autoencoder trained here under a UNet of random weights; with a text side."""
    folder = work / "base"
    if (folder / "tokenizer").is_dir():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    if options.base:
        shutil.copytree(options.base, folder)
    else:
        steps = options.autoencoder_steps
        settings = DiffusionSettings.model_validate(
            {
                "output": str(work / "autoencoder"), "size": options.size, "threads": options.threads,
                "autoencoder": {
                    "widths": (16, 32, 64), "crop": min(32, options.size),
                    "schedule": {
                        "steps": steps, "batch": 16, "learning_rate": 3e-3, "decay_steps": max(1, steps // 2),
                        "average": 0.99,
                    },
                },
                "denoiser": {"widths": tuple(options.widths)},
            }
        )  # fmt: skip
        pictures = DrawnPictures(first_seed=PAIR_PLACES, places=options.pairs // 12 + 1, size=options.size)
        vae = train_autoencoder(settings, pictures, lambda report: None)
        with torch.inference_mode():
            sample = pictures.pixels(range(0, len(pictures), max(1, len(pictures) // 64))).float() / 127.5 - 1
            vae.register_to_config(scaling_factor=1 / float(vae.encode(sample).latent_dist.mode().std()))
        channels = int(vae.config.latent_channels)
        unet = make_denoiser(settings.denoiser, channels=channels, side=options.size // 4, text_width=64, seed=0)
        write_base(folder, vae, unet)
    if not (folder / "text_encoder").is_dir():
        write_bundled_hub(work / "hub")
        for part in ("text_encoder", "tokenizer"):
            shutil.copytree(work / "hub", folder / part)
    return folder


def train_start(options: argparse.Namespace, work: Path, base: Path, pairs: Path, predictor: Path) -> Path:
    """What InstructPix2Pix's weights are to the paper: a UNet that edits by text; ``base`` where no steps are named.

    The pairs' own labels are used, and an edit by text asks no predictor: the one that is given only goes along.
    """
    if not options.start_steps:
        return base
    folder = work / "start" / MODEL
    if not folder.is_dir():
        values = model_values(options, options.start_steps) | {
            "output": str(work / "start"), "base": str(base), "pairs": str(pairs), "predictor": str(predictor),
            "labels": "set", "seed": START_SEED, **ARMS["text"],
        }  # fmt: skip
        began = time.process_time()
        train_emoeditor(EmoEditorSettings.model_validate(values), lambda report: None)
        print(f"start: {options.start_steps} steps, {time.process_time() - began:.0f} CPU s", flush=True)
    return folder


def model_values(options: argparse.Namespace, steps: int) -> dict[str, Any]:
    """What the start and the models share."""
    return {
        "hidden": (64, 128, 128), "size": options.size, "threads": options.threads,
        "checkpoint_steps": max(1, steps // 5),
        "schedule": {
            "steps": steps, "batch": 16, "learning_rate": 1e-3, "decay_steps": max(1, steps // 4), "average": 0.99,
            "weight_decay": 0,
        },
    }  # fmt: skip


def arm_settings(options: argparse.Namespace, work: Path, arm: str, seed: int, **parts: Path) -> EmoEditorSettings:
    """One of the four models."""
    values = model_values(options, options.steps) | {
        "output": str(work / f"seed-{seed}" / arm.replace(", ", "-").replace(" ", "-")), "seed": seed,
        **{name: str(path) for name, path in parts.items()}, **ARMS[arm],
    }  # fmt: skip
    return EmoEditorSettings.model_validate(values)


def untrained(settings: EmoEditorSettings, folder: Path) -> Path:
    """The model before its first step: what the loop alone, a search against the predictor, comes to."""
    if not folder.is_dir():
        frozen = Frozen(settings, torch.device("cpu"))
        pairs = SealedPairs(settings.pairs, sets=settings.sets, size=settings.size)
        export(folder, make_model(settings, frozen, pairs), frozen, ["untrained"])
    return folder


def edit_all(
    folder: Path, cases: Sequence[Case], options: argparse.Namespace, *, loop: bool
) -> tuple[list[Image.Image], list[float]]:
    """The edits and their rounds."""
    settings = settings_with(
        "emoeditor", size=options.size, steps=options.edit_steps, rounds=options.rounds if loop else 1, batch=16,
        ssim_low=options.band[0], ssim_high=options.band[1], ssim_window=WINDOW, confidence=options.confidence,
    )  # fmt: skip
    method = load_method("emoeditor", str(folder), None, settings)
    assert isinstance(method, EmoEditor)
    edits = [Edit(image=case.source, prompt="", emotion=case.emotion, seed=n) for n, case in enumerate(cases)]
    images = method.edit(edits, lambda done, total: None, lambda: False)
    return images, [float(outcome.rounds) for outcome in method.results]


def score(
    measures: tuple[EmotionPredictor, Esmi],
    cases: Sequence[Case],
    images: Sequence[Image.Image],
    rounds: Sequence[float],
) -> Scores:
    """Of the edits, by a judge that took no part."""
    judge, esmi = measures
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2).float() / 255
    named = judge.probabilities(pixels).argmax(1).tolist()
    scores = Scores(named=[], psnr=[], ssim=[], esmi=[], rounds=list(rounds))
    for number, (case, image) in enumerate(zip(cases, images, strict=True)):
        one, other = np.asarray(image, np.uint8), np.asarray(case.target, np.uint8)
        scores.named.append(float(MIKELS_EIGHT[named[number]] == MIKELS[case.emotion]))
        error = float(((one.astype(float) - other) ** 2).mean())
        scores.psnr.append(min(99.0, 10 * np.log10(255**2 / max(error, 1e-9))))
        scores.ssim.append(grey_ssim(one, other, 11))
        frames = Frames(
            source=np.asarray(case.source, np.uint8), edited=one, mask=None, source_sha256=f"{id(case)}",
            emotion=MIKELS[case.emotion], prompt="",
        )  # fmt: skip
        (value, *_) = esmi.of(frames)
        scores.esmi.append(float(value or 0) * 100)
    return scores


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """Mean and the bootstrap's 95% interval."""
    array: npt.NDArray[np.float64] = np.asarray(values, np.float64)
    draws = np.random.default_rng(seed).integers(0, len(array), (BOOTSTRAPS, len(array)))
    low, high = np.quantile(array[draws].mean(1), [0.025, 0.975])
    return float(array.mean()), float(low), float(high)


def train_arms(options: argparse.Namespace, work: Path, seed: int, **parts: Path) -> dict[str, Path]:
    """The models' folders."""
    folders: dict[str, Path] = {}
    for arm in ARMS if options.arms is None else options.arms:
        settings = arm_settings(options, work, arm, seed, **parts)
        began = time.process_time()
        folders[arm] = Path(settings.output) / MODEL
        if not folders[arm].is_dir():
            if (latents := work / "start" / "cache").is_dir():  # of the same pairs and autoencoder
                shutil.copytree(latents, Path(settings.output) / "cache", dirs_exist_ok=True)
            train_emoeditor(settings, lambda report: None)
            print(
                f"seed {seed}, {arm}: {settings.schedule.steps} steps, {time.process_time() - began:.0f} CPU s",
                flush=True,
            )
    return folders


def run_seed(
    options: argparse.Namespace, work: Path, base: Path, pairs: Path, seed: int
) -> dict[str, dict[str, Scores]]:
    """Row title → kind of source → scores."""
    own = work / f"seed-{seed}"
    predictor = train_classifier(options, own / "predictor", PREDICTOR_PLACES + seed * 10_000, seed)
    judge_folder = train_classifier(options, own / "judge", JUDGE_PLACES + seed * 10_000, 100 + seed)
    judge, esmi = open_predictor(judge_folder), Esmi(model=str(judge_folder))
    esmi.load()
    start = train_start(options, work, base, pairs, predictor)
    parts = {"base": start, "pairs": pairs, "predictor": predictor}
    folders = train_arms(options, work, seed, **parts)
    kinds = {"one mood": False, "mixed": True}
    cases = {name: draw_cases(options.cases, seed, options.size, mixed=mixed) for name, mixed in kinds.items()}
    found: dict[str, dict[str, Scores]] = {}

    def add(title: str, name: str, images: Sequence[Image.Image], rounds: Sequence[float] = ()) -> None:
        found.setdefault(title, {})[name] = score((judge, esmi), cases[name], images, rounds or [0.0] * len(images))

    for name, of_kind in cases.items():
        add("source", name, [case.source for case in of_kind])
        add("exact target", name, [case.target for case in of_kind])
        references = {
            emotion: [
                draw_paired(kind, JUDGE_PLACES - 1 - n, Mood(emotion, n), options.size).image
                for n, kind in enumerate(KINDS)
            ]
            for emotion in PAIRED_EMOTIONS
        }
        edits = [Edit(image=case.source, prompt="", emotion=case.emotion, seed=n) for n, case in enumerate(of_kind)]
        add("colour transfer", name, ColourTransfer(references).edit(edits, lambda done, total: None, lambda: False))
        if "direction" in folders and not kinds[name]:
            blind = {"untrained": base} | ({"start, untaught": start} if start != base and options.untaught else {})
            for title, of in blind.items():
                settings = arm_settings(options, work, "direction", seed, **(parts | {"base": of}))
                folder = untrained(settings, own / title.replace(", ", "-"))
                for loop in (False, True):
                    add(f"{title}{', IEI' if loop else ''}", name, *edit_all(folder, of_kind, options, loop=loop))
        for title, arm, loop in ROWS:
            if arm in folders:
                add(title, name, *edit_all(folders[arm], of_kind, options, loop=loop))
        if options.sheet:
            write_sheet(own / f"{name.replace(' ', '-')}.png", of_kind, folders, options)
    return found


def write_sheet(path: Path, cases: Sequence[Case], folders: Mapping[str, Path], options: argparse.Namespace) -> None:
    """Source, exact target, one pass and the loop of the last arm, side by side, for a person's eyes."""
    arm = "direction" if "direction" in folders else next(iter(folders))
    shown = cases[: options.sheet]
    columns = [[case.source for case in shown], [case.target for case in shown]]
    columns += [edit_all(folders[arm], shown, options, loop=loop)[0] for loop in (False, True)]
    side = max(96, options.size)
    sheet = Image.new("RGB", (len(columns) * (side + 4), len(shown) * (side + 4)), "white")
    for x, column in enumerate(columns):
        for y, image in enumerate(column):
            sheet.paste(image.resize((side, side), Image.Resampling.NEAREST), (x * (side + 4), y * (side + 4)))
    sheet.save(path)


def joined(parts: Sequence[Scores]) -> Scores:
    """The rows of several seeds."""
    return Scores(**{name: [value for part in parts for value in getattr(part, name)] for name in asdict(parts[0])})


def report(results: Mapping[str, Mapping[str, Sequence[Scores]]]) -> dict[str, Any]:
    """Prints the table and the gates; returns the figures."""
    figures: dict[str, Any] = {}
    for kind in ("one mood", "mixed"):
        print(f"\nsources of {kind}: mean [95% of {BOOTSTRAPS} bootstraps]")
        print(f"{'':22} {'judge':22} {'dB to exact':10} {'SSIM':>6} {'rounds':>7}  {'ESMI':22} paper's ESMI")
        for title, of_kind in results.items():
            if kind not in of_kind:
                continue
            scores = joined(of_kind[kind])
            named, esmi = interval(scores.named), interval(scores.esmi)
            published = {row.title: f"{row.figures[0]:.2f}" for row in EMOEDITOR_ABLATION.rows}.get(title, "")
            print(
                f"{title:22} {named[0]:.2f} [{named[1]:.2f}, {named[2]:.2f}]     {np.mean(scores.psnr):10.1f} "
                f"{np.mean(scores.ssim):6.2f} {np.mean(scores.rounds):7.1f}  "
                f"{esmi[0]:.1f} [{esmi[1]:.1f}, {esmi[2]:.1f}]     {published}"
            )
            figures.setdefault(kind, {})[title] = {
                "judge": named,
                "esmi": esmi,
                "psnr": float(np.mean(scores.psnr)),
                "ssim": float(np.mean(scores.ssim)),
                "rounds": float(np.mean(scores.rounds)),
            }
    own = figures["one mood"]
    full, single, blind, colours = (
        own.get(t) for t in ("e_dir, IEI, L_emb", "e_dir, L_emb", "untrained, IEI", "colour transfer")
    )
    if full and single and blind and colours:
        gates = {
            "IEI above one pass by 0.2": full["judge"][0] - single["judge"][0] >= 0.2,
            "IEI above colour transfer by 0.1": full["judge"][0] - colours["judge"][0] >= 0.1,
            "dB no lower than colour transfer's": full["psnr"] >= colours["psnr"],
            "trained above untrained by 0.4": full["judge"][0] - blind["judge"][0] >= 0.4,
        }
        print()
        for name, holds in gates.items():
            print(f"{'holds' if holds else 'MISSED'}: {name}")
        figures["gates"] = gates
    return figures


def main() -> None:
    """Trains what is not there, edits, prints, and writes figures.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/emoeditor-bench"))
    parser.add_argument("--base", default="", help="a base of SD 1.5's layout; else an autoencoder is trained")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=3000)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--start-steps", type=int, default=2000, help="of the UNet that edits by text; 0: none")
    parser.add_argument("--steps", type=int, default=500, help="of each model")
    parser.add_argument("--autoencoder-steps", type=int, default=1500)
    parser.add_argument("--predictor-steps", type=int, default=600)
    parser.add_argument("--labelled-places", type=int, default=120)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 192])
    parser.add_argument("--edit-steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--band", type=float, nargs=2, default=[0.1, 0.8], help="of likenesses; see exact pairs'")
    parser.add_argument("--confidence", type=float, default=0.99, help="of the predictor, at which the loop is done")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), help="only these models")
    parser.add_argument(
        "--untaught",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also the start under an untaught encoder",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sheet", type=int, default=12, help="rows of a sheet of pictures; 0: none")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    source = {"kind": "drawn", "count": options.pairs, "size": options.size, "first_place": PAIR_PLACES}
    build_pairs(PairSettings.model_validate({"sources": [source]}), str(work / "pairs"), on_ray=False)
    base = prepare_base(options, work)
    exact = draw_cases(options.cases, 0, options.size, mixed=False)
    likeness = [grey_ssim(np.asarray(case.source), np.asarray(case.target), WINDOW) for case in exact]
    print(f"likeness of exact pairs: {np.round(np.quantile(likeness, [0.05, 0.5, 0.95]), 2).tolist()} (5%, 50%, 95%)")
    results: dict[str, dict[str, list[Scores]]] = {}
    for seed in range(options.seeds):
        for title, of_kind in run_seed(options, work, base, work / "pairs", seed).items():
            for kind, scores in of_kind.items():
                results.setdefault(title, {}).setdefault(kind, []).append(scores)
    figures = report(results)
    (work / "figures.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
