"""EPEM's picture half in the closed world: PER trained on the demo's base, its edits of unseen places judged.

`python -m benchmarks.epem pictures` runs it. Arms: EPEM; without EIC (the language model writes the caption as it is);
without EAI (an adapter that is trained without the block); EPEM under the true captions, which nobody has; SDEdit on
the same base under the true description; a UNet that learns as a whole and reads the instruction alone, as
InstructPix2Pix does; colour transfer. The judge took part in none of them.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from benchmarks.closed_world import write_sheet
from benchmarks.epem_base import SIZE, prepare_base
from benchmarks.epem_captions import prepare_captioner, prepare_editor
from benchmarks.lpips_network import Lpips
from editor.edit import Edit, Method, default_settings
from editor.job import settings_with
from editor.loading import load_method
from editor.methods.base import open_base
from editor.methods.baselines import ColourTransfer
from editor.methods.epem import Epem, Written
from editor.methods.similarity import grey_ssim
from moodarchive.emotions.taxonomy import MIKELS, MIKELS_EIGHT
from moodarchive.language_edit.prompts import instruction_for
from moodarchive.language_edit.records import read_records
from pipelines.demo.bundled import JUDGE
from pipelines.demo.bundled_base import SETTINGS
from pipelines.demo.closed_world import Case, draw_cases, draw_references, psnr, rebuild, score, standard_error
from pipelines.demo.pairs.captions import drawn_caption, mood_words
from pipelines.demo.pairs.drawing import changed_mask
from pipelines.demo.pairs.drawn_captioner import CaptionerShape
from pipelines.demo.pairs.judge import open_judge
from pipelines.editing.sets.lavc.build import build_lavc
from pipelines.editing.sets.lavc.records import RECORDS
from pipelines.editing.sets.lavc.settings import LavcSettings
from train.diffusion.pair_latents import Side
from train.diffusion.run import Listener
from train.emoeditor.run import train_emoeditor
from train.emoeditor.settings import EmoEditorSettings
from train.epem.records import RecordsFile
from train.epem.run import MODEL, train_epem
from train.epem.settings import EpemSettings

FIRST_PLACE = 40_000
"""Of the records: neither the cases' places nor those of the language half."""
UNPROMPTED = 0.05
"""Of the text-only UNet's rows, as InstructPix2Pix has it, and as PER's are by default."""
NAN = float("nan")
LEAST_OUTSIDE = 0.05
"""Share of a picture that the true edit leaves as it is, below which there is no outside to measure."""
FIGURES = {
    "named": "judge", "psnr": "dB to true edit", "ssim": "SSIM to it", "lpips": "LPIPS to it",
    "kept_psnr": "dB outside", "kept_ssim": "SSIM outside", "kept_lpips": "LPIPS outside",
}  # fmt: skip
DISTANCES = ("lpips", "kept_lpips")
"""Of these less is better; nan without ``--lpips``."""
ARM = "EPEM"
JUDGED_BARS = tuple(("named", name) for name in ("w/o EIC", "SDEdit", "text-only UNet"))
"""The figure in which EPEM shall be better, and than which arm."""
BARS = (*JUDGED_BARS, *((figure, "w/o EAI") for figure in ("kept_ssim", "kept_psnr", "kept_lpips")))
Figures = dict[str, npt.NDArray[np.float64]]


class Instructed:
    """L-AVC's records as a text-only editor learns from them: the instruction, and the two pictures."""

    def __init__(self, records: Path) -> None:
        self._records = RecordsFile(records, split="train", size=SIZE)
        rows = [row for row in read_records(records) if row["split"] == "train"]
        self.name, self.prompts = f"{self._records.name}, instructions", self._records.instructions
        self.targets = [MIKELS_EIGHT.index(row["edited_emotion"]) for row in rows]
        sources = torch.tensor([MIKELS_EIGHT.index(row["emotion"]) for row in rows])
        self.distributions = torch.nn.functional.one_hot(sources, len(MIKELS_EIGHT)).float()

    def __len__(self) -> int:
        return len(self._records)

    def pixels(self, side: Side, rows: Sequence[int]) -> Tensor:
        """See ``PicturePairs``."""
        return self._records.pixels(side, rows)


@dataclass(frozen=True, kw_only=True)
class Models:
    """The folders of what was trained."""

    editor: Path
    """The caption editor (EIC)."""
    whole: Path
    """PER."""
    without_eai: Path
    text_only: Path
    base: Path


def pictures(options: argparse.Namespace, seed: int, work: Path) -> dict[str, Figures]:
    """One seed, from records to the arms' figures, a row a case."""
    torch.set_num_threads(1)
    models = prepare_models(options, seed, work)
    cases = draw_cases(options.cases, seed)
    images = edit_all(options, models, cases)
    if options.sheet:
        arms = {name: of for name, of in images.items() if name != "source"}
        write_sheet(work / f"sheet-{seed}.png", cases[: options.sheet], arms)
    return measure(options, cases, images)


def measure(
    options: argparse.Namespace, cases: Sequence[Case], images: Mapping[str, Sequence[Image.Image]]
) -> dict[str, Figures]:
    """The figures of each arm's edits, a row a case."""
    judge, lpips = open_judge(), Lpips(options.lpips) if options.lpips else None
    figures = {}
    for name, of_arm in images.items():
        scores, pairs = score(judge, cases, of_arm), list(zip(cases, of_arm, strict=True))
        distances = [lpips(np.asarray(image), np.asarray(case.target.image)) if lpips else NAN for case, image in pairs]
        kept = np.array([kept_outside(case, image, lpips) for case, image in pairs])
        figures[name] = {
            "named": scores.named, "psnr": scores.psnr, "ssim": scores.ssim, "lpips": np.array(distances),
            "kept_psnr": kept[:, 0], "kept_ssim": kept[:, 1], "kept_lpips": kept[:, 2],
        }  # fmt: skip
    return figures


def prepare_models(options: argparse.Namespace, seed: int, work: Path) -> Models:
    """What an earlier run with the same ``work`` left, and the rest trained here."""
    base, records = prepare_base(options, work), prepare_records(options, work)
    text_only = train_text_only(options, seed, work, records, base)
    captioner = prepare_captioner(options, work)
    parts = {"records": records, "base": base, "captioner": captioner}
    trained = [train_adapter(options, seed, work, **parts, eai=eai) for eai in (True, False)]
    editor = prepare_editor(options, seed, work, captioner)
    return Models(editor=editor, whole=trained[0], without_eai=trained[1], text_only=text_only, base=base)


def prepare_records(options: argparse.Namespace, work: Path) -> Path:
    """The drawn records, built if they are not there."""
    settings = LavcSettings(count=options.records, size=SIZE, first_place=FIRST_PLACE, test=0)
    folder = work / f"records-{options.records}"
    if not (folder / RECORDS).is_file():
        build_lavc(settings, str(folder))
    return folder / RECORDS


def train_adapter(
    options: argparse.Namespace, seed: int, work: Path, *, records: Path, base: Path, captioner: Path, eai: bool
) -> Path:
    """PER on the demo's base, whose pictures the captioner's eye sees and whose Q-Former is its own at first."""
    steps, shape = options.picture_steps, CaptionerShape()
    name = f"per-{seed}-{captioner.name}-{base.name}-{steps}x{options.picture_batch}-{options.pixel_weight:g}"
    output = work / (name if eai else f"{name}-without-eai")
    if (output / MODEL).is_dir():
        return output / MODEL
    values = {
        "output": str(output), "records": str(records), "base": str(base), "blip2": str(captioner), "eai": eai,
        "queries": shape.queries, "hidden": 2 * shape.query_width, "instruction_tokens": 24, "size": SIZE,
        "pixel_weight": options.pixel_weight, "seed": seed, "threads": 1, "checkpoint_steps": 100,
        "schedule": _schedule(options),
    }  # fmt: skip
    return train_epem(EpemSettings.model_validate(values), _teller(output.name))


def train_text_only(options: argparse.Namespace, seed: int, work: Path, records: Path, base: Path) -> Path:
    """All of the base's UNet, widened by the source's latent, under the instruction's states and nothing else."""
    output = work / f"instructed-{seed}-{base.name}-{options.picture_steps}x{options.picture_batch}"
    if (output / MODEL).is_dir():
        return output / MODEL
    values = {
        # a folder with a predictor goes with such a model; by labels = "set" this training never asks it
        "output": str(output), "base": str(base), "predictor": str(JUDGE), "labels": "set", "condition": "text",
        "identity": 0.0, "unprompted": UNPROMPTED, "size": SIZE, "seed": seed, "threads": 1, "checkpoint_steps": 100,
        "hidden": (32,), "schedule": _schedule(options),
    }  # fmt: skip
    return train_emoeditor(EmoEditorSettings.model_validate(values), _teller(output.name), Instructed(records))


def _schedule(options: argparse.Namespace) -> dict[str, float]:
    steps = options.picture_steps
    return {
        "steps": steps, "batch": options.picture_batch, "learning_rate": options.picture_rate,
        "warmup_steps": min(50, steps // 4), "decay_steps": steps // 3, "average": 0.99, "weight_decay": 1e-4,
    }  # fmt: skip


def _teller(name: str) -> Listener:
    began = time.process_time()

    def tell(report: object) -> None:
        step = getattr(report, "step", 0)
        if step % 100 == 0:
            loss, spent = getattr(report, "loss", 0.0), time.process_time() - began
            print(f"    {name}: step {step}, loss {loss:.4f}, {spent:.0f} s", flush=True)

    return tell


def edit_all(options: argparse.Namespace, models: Models, cases: Sequence[Case]) -> dict[str, list[Image.Image]]:
    """The edits of every arm, in the cases' order."""
    base = open_base(models.base, default_settings("moodifier"))
    images = {
        "source": [case.source.image for case in cases],
        "true edit, rebuilt": [rebuild(base, case.target.image) for case in cases],
    }
    whole = open_epem(options, models.whole, models.editor)
    plain = open_epem(options, models.whole, models.editor, eic=False)
    written = {ARM: write_all(whole, cases), "w/o EIC": write_all(plain, cases)}
    for name, words in written.items():
        right = [
            one.caption.endswith(f" {mood_words(case.target.kind, case.emotion)}")
            for one, case in zip(words, cases, strict=True)
        ]
        print(f"  captions of {name}: the target's mood in {np.mean(right):.2f}", flush=True)
    true = [
        Written(
            instruction=instruction_of(case), by="drawn",
            caption=drawn_caption(case.target.kind, case.target.place_seed, case.emotion),
        )
        for case in cases
    ]  # fmt: skip
    images[ARM] = run(ARM, whole, cases, written[ARM])
    images["w/o EIC"] = run("w/o EIC", whole, cases, written["w/o EIC"])
    without = open_epem(options, models.without_eai)
    images["w/o EAI"] = run("w/o EAI", without, cases, written[ARM])
    images["EPEM, true captions"] = run("EPEM, true captions", whole, cases, true)
    images["SDEdit"] = edit_by_description(models.base, cases)
    images["text-only UNet"] = edit_by_instruction(options, models.text_only, cases)
    images["colour transfer"] = run("colour transfer", ColourTransfer(draw_references()), cases)
    return images


def edit_by_description(base: Path, cases: Sequence[Case]) -> list[Image.Image]:
    """SDEdit's edits on the base, under the true description of the wanted drawing."""
    settings = settings_with("sdedit", **{**SETTINGS["sdedit"], "batch": 16})
    return run("SDEdit", load_method("sdedit", str(base), None, settings), cases)


def edit_by_instruction(options: argparse.Namespace, folder: Path, cases: Sequence[Case]) -> list[Image.Image]:
    """The text-only UNet's edits."""
    settings = settings_with(
        "instruct-pix2pix", size=SIZE, steps=options.edit_steps, guidance=options.text_guidance, image_guidance=1.0,
        batch=16,
    )  # fmt: skip
    text_only = load_method("instruct-pix2pix", str(folder), None, settings)
    told = [Written(instruction=instruction_of(case), caption=instruction_of(case), by="drawn") for case in cases]
    return run("text-only UNet", text_only, cases, told)


def open_epem(options: argparse.Namespace, folder: Path, language: Path | None = None, *, eic: bool = True) -> Epem:
    """The method at the drawn world's size."""
    settings = settings_with(
        "epem", size=SIZE, steps=options.edit_steps, guidance=options.guidance, strength=options.strength, batch=16,
        eic=eic,
    )  # fmt: skip
    method = load_method("epem", str(folder), str(language) if language else None, settings)
    assert isinstance(method, Epem)
    return method


def write_all(method: Epem, cases: Sequence[Case]) -> list[Written]:
    """What the language model says of each picture, and then of the edit."""
    return [method.write(case.source.image, case.emotion, instruction_of(case)) for case in cases]


def instruction_of(case: Case) -> str:
    """From what the drawing evokes to what it shall."""
    return instruction_for(MIKELS[case.source.mood.emotion], MIKELS[case.emotion])


def run(name: str, method: Method, cases: Sequence[Case], words: Sequence[Written] | None = None) -> list[Image.Image]:
    """Without ``words`` the true description of the edited drawing is the prompt."""
    edits = [case.edit(number, described=False) for number, case in enumerate(cases)]
    if words is not None:
        edits = [
            Edit(
                image=case.source.image, prompt=one.caption, instruction=one.instruction, emotion=case.emotion,
                seed=number,
            )
            for number, (case, one) in enumerate(zip(cases, words, strict=True))
        ]  # fmt: skip
    began = time.process_time()
    images = method.edit(edits, lambda done, total: None, lambda: False)
    print(f"  {name}: {(time.process_time() - began) / len(cases):.2f} s an edit", flush=True)
    return images


def kept_outside(case: Case, image: Image.Image, lpips: Lpips | None) -> tuple[float, float, float]:
    """PSNR, SSIM and LPIPS to the source where the true edit equals it; nan where that is hardly anywhere."""
    equal = ~changed_mask(case.source.image, case.target.image)
    if equal.mean() < LEAST_OUTSIDE:
        return NAN, NAN, NAN
    source = np.asarray(case.source.image)
    # windows at the edge, and what a network sees, reach into what changes: there both pictures are the source
    outside = np.where(equal[..., None], np.asarray(image), source)
    distance = lpips(outside, source) if lpips else NAN
    return psnr(image, case.source.image, equal), grey_ssim(outside, source, 11, where=equal), distance


def report(results: Sequence[Mapping[str, Figures]], bars: Sequence[tuple[str, str]] = BARS) -> dict[str, Figures]:
    """Prints the arms, EPEM's differences pair by pair, and the bars, whatever they show; returns the joined rows."""
    joined: dict[str, Figures] = {
        name: {figure: np.concatenate([result[name][figure] for result in results]) for figure in FIGURES}
        for name in results[0]
    }
    print(f"\n{'':22}" + "".join(f"{title:>18}" for title in FIGURES.values()))
    for name, of_arm in joined.items():
        print(f"{name:22}" + "".join(f"{_mean(of_arm[figure]):>18}" for figure in FIGURES))
    outside = int(np.isfinite(joined[ARM]["kept_psnr"]).sum())
    print(f"{len(joined[ARM]['named'])} edits; outside is measured on {outside} of them")
    print(f"\n{ARM} above, pair by pair, and in standard errors")
    for name, of_arm in joined.items():
        if name != ARM:
            cells = [_difference(joined[ARM][figure] - of_arm[figure]) for figure in FIGURES]
            print(f"{name:22}" + "".join(f"{cell:>18}" for cell in cells))
    print()
    for figure, name in bars:
        sign, side = (-1, "below") if figure in DISTANCES else (1, "above")
        better = sign * _errors(joined[ARM][figure] - joined[name][figure])
        verdict = "not measured" if np.isnan(joined[ARM][figure]).all() else "holds" if better > 2 else "DOES NOT HOLD"
        print(f"{FIGURES[figure]} {side} {name} by more than two standard errors: {better:+.1f}: {verdict}")
    return joined


def _mean(values: npt.NDArray[np.float64]) -> str:
    return _text(values, lambda finite: f"{finite.mean():.3f} ± {standard_error(finite):.3f}")


def _difference(values: npt.NDArray[np.float64]) -> str:
    return _text(values, lambda finite: f"{finite.mean():+.3f} ({_errors(finite):+.1f})")


def _text(values: npt.NDArray[np.float64], say: Callable[[npt.NDArray[np.float64]], str]) -> str:
    finite = values[np.isfinite(values)]
    return say(finite) if len(finite) > 1 else "-"


def _errors(values: npt.NDArray[np.float64]) -> float:
    """A mean difference in its standard errors."""
    finite = values[np.isfinite(values)]
    if len(finite) < 2:
        return 0.0
    error = standard_error(finite)
    return float(finite.mean() / error) if error > 0 else 0.0
