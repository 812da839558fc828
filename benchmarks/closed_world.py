"""Editing where the true answer is known: drawn pairs, an independent judge, and every method on the same cases.

`python benchmarks/closed_world.py` runs 200 pairs with each of 3 seeds; `--pairs` and `--seeds` run a part of it.
`--arms` holds Moodifier's settings against each other, each on and off: all of them, or those that are named.
"""

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from editor.edit import PRESETS, default_settings
from editor.job import settings_with
from editor.loading import load_method
from editor.methods.base import Base, open_base
from pipelines.demo.bundled_base import SETTINGS, BundledBase, prepare_bundled_base
from pipelines.demo.closed_world import (
    Case,
    Crowd,
    Scores,
    digest_of,
    draw_cases,
    edit_cases,
    kept_outside,
    open_methods,
    rebuild,
    score,
    standard_error,
)
from pipelines.demo.pairs.judge import open_judge

METHODS = ("moodifier", "infedit", "sdedit", "colour-transfer")
BARS = {"judge after": 0.9, "judge before": 0.05, "right scene of 100": 0.6, "background, dB below": 2.0}


@dataclass(frozen=True, kw_only=True)
class Arm:
    """Moodifier with settings of its own over the drawn base's; ``described``: told what the drawing shows now."""

    settings: Mapping[str, object] = field(default_factory=dict)
    described: bool = True


PROMPTS = {name: PRESETS["faces"][name] for name in ("negative_prompt", "positive_prompt")}
NEGATIVE = {"negative_prompt": PROMPTS["negative_prompt"]}
AS_SHIPPED = "as shipped"
ARMS = {
    AS_SHIPPED: Arm(),
    "15 steps": Arm(settings={"steps": 15}),
    "structure 0": Arm(settings={"structure": 0.0}),
    "structure 0.4": Arm(settings={"structure": 0.4}),
    "structure 0.7": Arm(settings={"structure": 0.7}),
    "weaker": Arm(settings={"guidance": 2.5}),
    "source 1.5, structure 0": Arm(settings={"guidance": 3.5, "source_guidance": 1.5, "structure": 0.0}),
    "negative prompt": Arm(settings=NEGATIVE),
    "both prompts": Arm(settings=PROMPTS),
    "both, source 0.6": Arm(settings={**PROMPTS, "source_guidance": 0.6}),
    "faces": Arm(settings={"preset": "faces", **PRESETS["faces"]}),
    "objects": Arm(settings={"preset": "objects", **PRESETS["objects"]}),
    "objects, guidance 4.5": Arm(settings={"preset": "objects", **PRESETS["objects"], "guidance": 4.5}),
    "no caption": Arm(described=False),
    "no caption, structure 0": Arm(settings={"structure": 0.0}, described=False),
    "no caption, objects": Arm(settings={"preset": "objects", **PRESETS["objects"]}, described=False),
}
"""Where an arm names no other: the drawn base's own ``SETTINGS``: 20 steps, guidance 4 and 1, all of the structure."""


def main() -> None:
    """Prints the figures, whatever they show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--local", type=int, default=60, help="pairs whose mood changes in a mask alone, a seed")
    parser.add_argument("--model", type=Path, help="an exported MoodifyCLIP; by default the small CLIP's own tower")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--sheet", type=Path, help="a picture of 24 edits: source, true answer, the methods")
    parser.add_argument("--json", type=Path, help="where the rows go, too")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of every edit, as JSON")
    parser.add_argument("--arms", nargs="*", choices=ARMS, metavar="ARM", help=f"of Moodifier alone: {', '.join(ARMS)}")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    bundled = prepare_bundled_base()
    if options.arms is not None:
        compare_arms(options, bundled)
        return
    changed = {name: json.loads(value) for name, value in (pair.split("=", 1) for pair in options.set)}
    methods = open_methods(bundled.base, options.model or bundled.model, changed)
    base = open_base(bundled.base, default_settings("moodifier"))
    judge, crowd = open_judge(), Crowd()
    rows: dict[str, list[Scores]] = {}
    seconds: dict[str, float] = {}
    kept: list[tuple[float, float]] = []
    for seed in options.seeds:
        cases = draw_cases(options.pairs, seed)
        answers = {
            "source": [case.source.image for case in cases],
            "true answer, rebuilt": [rebuild(base, case.target.image) for case in cases],
        }
        for name in options.methods:
            began = time.process_time()
            answers[name] = edit_cases(methods[name], cases, seed)
            seconds[name] = (time.process_time() - began) / len(cases)
        for name, images in answers.items():
            rows.setdefault(name, []).append(score(judge, cases, images, crowd))
        if options.sheet and seed == options.seeds[0]:
            write_sheet(options.sheet, cases[:24], {name: answers[name] for name in options.methods})
        if "moodifier" in options.methods:
            again = edit_cases(methods["moodifier"], cases[:16], seed)
            same = digest_of(again) == digest_of(edit_cases(methods["moodifier"], cases[:16], seed))
            print(f"seed {seed}: the same bytes again: {same}", flush=True)
            kept += background(base, draw_cases(options.local, seed, local=True), methods["moodifier"], seed)
    joined = {name: Scores.join(of_seeds) for name, of_seeds in rows.items()}
    print_table(joined, seconds)
    if "moodifier" in joined:
        print_bars(joined, kept)
    if options.json:
        write_rows(options.json, joined)


def compare_arms(options: argparse.Namespace, bundled: BundledBase) -> None:
    """A line an arm, and beside what is shipped: the mean difference, pair by pair, with its standard error."""
    names = list(dict.fromkeys([AS_SHIPPED, *(options.arms or ARMS)]))
    judge, crowd = open_judge(), Crowd()
    rows: dict[str, list[Scores]] = {}
    seconds: dict[str, float] = {}
    sheet: dict[str, list[Image.Image]] = {}
    for name in names:
        arm = ARMS[name]
        settings = settings_with("moodifier", **{**SETTINGS["moodifier"], "batch": 16, **arm.settings})
        method = load_method("moodifier", str(bundled.base), str(options.model or bundled.model), settings)
        for seed in options.seeds:
            cases, began = draw_cases(options.pairs, seed), time.process_time()
            images = edit_cases(method, cases, seed, described=arm.described)
            seconds[name] = (time.process_time() - began) / len(cases)
            rows.setdefault(name, []).append(score(judge, cases, images, crowd))
            if seed == options.seeds[0]:
                sheet[name] = images[:24]
        print(f"{name}: done", flush=True)
    joined = {name: Scores.join(of_seeds) for name, of_seeds in rows.items()}
    print_table(joined, seconds)
    print_differences(joined)
    if options.sheet:
        write_sheet(options.sheet, draw_cases(options.pairs, options.seeds[0])[:24], sheet)
    if options.json:
        write_rows(options.json, joined)


def print_differences(joined: dict[str, Scores]) -> None:
    """What each arm is above the shipped settings on the same pairs."""
    print(f"\nabove {AS_SHIPPED!r}, pair by pair")
    for name, of in joined.items():
        cells = []
        for figure in ("named", "psnr", "ssim", "found"):
            above = getattr(of, figure) - getattr(joined[AS_SHIPPED], figure)
            cells.append(f"{above.mean():+.3f} ± {standard_error(above):.3f}")
        print(f"{name:22}{cells[0]:>17}{cells[1]:>17}{cells[2]:>17}{cells[3]:>17}")


def write_rows(path: Path, joined: dict[str, Scores]) -> None:
    """Every method's rows as JSON."""
    lines = {name: {key: value.tolist() for key, value in vars(of).items()} for name, of in joined.items()}
    path.write_text(json.dumps(lines) + "\n", "utf-8")


def background(base: Base, cases: list[Case], method: object, seed: int) -> list[tuple[float, float]]:
    """PSNR outside the mask: of the edit, and of the autoencoder alone."""
    edited = edit_cases(method, cases, seed)  # type: ignore[arg-type]
    return [
        kept_outside(case, image, rebuild(base, case.source.image)) for case, image in zip(cases, edited, strict=True)
    ]


def print_table(joined: dict[str, Scores], seconds: dict[str, float]) -> None:
    """A line a method: means, each with its standard error."""
    print(f"{'':22}{'judge':>16}{'PSNR':>16}{'SSIM':>18}{'scene of 100':>16}{'CPU s':>8}")
    for name, of in joined.items():
        cells = [
            f"{values.mean():.3f} ± {standard_error(values):.3f}" for values in (of.named, of.psnr, of.ssim, of.found)
        ]
        print(f"{name:22}{cells[0]:>16}{cells[1]:>16}{cells[2]:>18}{cells[3]:>16}{seconds.get(name, 0):8.2f}")


def print_bars(joined: dict[str, Scores], kept: list[tuple[float, float]]) -> None:
    """What is asked of Moodifier, and what was measured."""
    ours, source = joined["moodifier"], joined["source"]
    print(f"\njudge after, at least {BARS['judge after']}: {ours.named.mean():.3f}")
    print(f"judge before, at most {BARS['judge before']}: {source.named.mean():.3f}")
    print(f"right scene of 100, at least {BARS['right scene of 100']}: {ours.found.mean():.3f}")
    for name in ("sdedit", "colour-transfer", "source"):
        if name not in joined:
            continue
        for figure in ("psnr", "ssim"):
            above = getattr(ours, figure) - getattr(joined[name], figure)
            error = standard_error(above)
            print(
                f"{figure} above {name} by more than 2 errors: {above.mean():.3f} = {above.mean() / error:.1f} errors"
            )
    if kept:
        below = np.array([rebuilt - edited for edited, rebuilt in kept])
        edited, rebuilt = np.mean(kept, axis=0)
        print(
            f"background: {edited:.2f} dB, the autoencoder's own {rebuilt:.2f}; at most "
            f"{BARS['background, dB below']} below: {below.mean():.2f} ± {standard_error(below):.2f}"
        )


def write_sheet(path: Path, cases: list[Case], edits: dict[str, list[Image.Image]], zoom: int = 2) -> None:
    """A row a case: source, true answer, the methods' edits; two cases side by side."""
    side, columns = cases[0].source.image.width * zoom, 2 + len(edits)
    sheet = Image.new("RGB", (side * columns * 2 + side // 2, side * ((len(cases) + 1) // 2)), (255, 255, 255))
    for index, case in enumerate(cases):
        pictures = [case.source.image, case.target.image, *(images[index] for images in edits.values())]
        left = (index % 2) * (side * columns + side // 2)
        for column, picture in enumerate(pictures):
            sheet.paste(
                picture.resize((side, side), Image.Resampling.NEAREST), (left + column * side, index // 2 * side)
            )
    sheet.save(path)


if __name__ == "__main__":
    main()
