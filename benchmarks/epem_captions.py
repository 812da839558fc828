"""EPEM's language half in the closed world: does an edit of a captioner's weights make it write another mood?

`python -m benchmarks.epem captions` runs it. A BLIP-2 of 1.7 million weights learns to write what drawings show,
whatever an instruction says. Then a gradient's editor learns to turn "Emotion: y" into weights under which it writes
the caption of the place in that mood. Rows that are judged are of places that neither has met.
"""

import argparse
import random
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from moodarchive.language_edit.caption_editor import (
    CONFIG,
    EditorConfig,
    EditorModel,
    edit_weights,
    open_caption_editor,
)
from moodarchive.language_edit.captioner import Captioner, open_captioner
from moodarchive.language_edit.prompts import MARK, PLAIN, CaptionRequest, prompt_of
from pipelines.demo.pairs.captions import drawn_caption, drawn_request, mood_words, who_is_drawn
from pipelines.demo.pairs.drawing import PAIRED_EMOTIONS
from pipelines.demo.pairs.drawn_captioner import (
    CaptionerShape,
    DrawnCaption,
    draw_captioned,
    make_captioner,
    teach_captioner,
    teach_sight,
)
from train.diffusion.run import StepReport
from train.epem.caption_settings import CaptionEditorSettings
from train.epem.captions import MODEL, train_captions

LEARNT, HELD_OUT = 20_000, 5_000
"""First places of what is learnt from and of what is judged."""
PLAIN_STEPS = (0.1, 1.0, 10.0)
FEW = (8, 32, 128)
Weights = Mapping[str, Tensor] | None
Editing = Callable[[Tensor, CaptionRequest], Weights]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A drawing, and the mood that it is to be in."""

    drawn: DrawnCaption
    target: str

    @property
    def request(self) -> CaptionRequest:
        return drawn_request(self.drawn.kind, self.drawn.place, self.drawn.emotion, self.target)


class DrawnPairs:
    """Rows as a caption editor's training reads them."""

    def __init__(self, rows: Sequence[Row], name: str) -> None:
        self.rows, self.name = rows, name

    def __len__(self) -> int:
        return len(self.rows)

    def image(self, row: int) -> Image.Image:
        return self.rows[row].drawn.image

    def request(self, row: int) -> CaptionRequest:
        return self.rows[row].request

    def edited_caption(self, row: int) -> str:
        one = self.rows[row]
        return drawn_caption(one.drawn.kind, one.drawn.place, one.target)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Shares of the judged rows."""

    mood: float
    """The new mood's words stand there, all and no others after them."""
    who: float
    """Who is drawn is named as it should be."""
    strayed: float
    """Plain captions of other pictures that changed under the edited weights; -1: not measured."""

    def line(self, name: str) -> str:
        strayed = "" if self.strayed < 0 else f"  unrelated captions changed {self.strayed:.3f}"
        return f"  {name:<34} mood {self.mood:.2f}  who {self.who:.2f}{strayed}"


def measure(captioner: Captioner, rows: Sequence[Row], edit: Editing, *, others: int = 1) -> Measured:
    """``others``: how many other pictures' plain captions are written under each row's weights."""
    pictures = [captioner.see([row.drawn.image])[0] for row in rows]
    plain = [captioner.write(picture, PLAIN) for picture in pictures]
    mood = who = changed = 0
    for number, (row, picture) in enumerate(zip(rows, pictures, strict=True)):
        weights = edit(picture, row.request)
        text = captioner.write(picture, prompt_of(row.request), weights=weights, stop=MARK)
        mood += text.endswith(f" {mood_words(row.drawn.kind, row.target)}")
        who += text.startswith(f"{who_is_drawn(row.drawn.kind, row.drawn.place)} ")
        for step in range(1, others + 1):
            other = (number + 7 * step) % len(rows)
            changed += captioner.write(pictures[other], PLAIN, weights=weights) != plain[other]
    count = len(rows)
    return Measured(mood=mood / count, who=who / count, strayed=changed / (count * others) if others else -1.0)


def measure_captioner(captioner: Captioner, rows: Sequence[Row]) -> Measured:
    """Its plain captions: whose mood and whose place is right, of what is seen."""
    mood = who = 0
    for row in rows:
        drawn = row.drawn
        text = captioner.write(captioner.see([drawn.image])[0], PLAIN)
        mood += text.endswith(f" {mood_words(drawn.kind, drawn.emotion)}")
        who += text.startswith(f"{who_is_drawn(drawn.kind, drawn.place)} ")
    return Measured(mood=mood / len(rows), who=who / len(rows), strayed=-1.0)


def fine_tune(captioner: Captioner, pairs: DrawnPairs, *, steps: int, rate: float, seed: int) -> dict[str, Tensor]:
    """The same blocks' weights, learnt from the same answers in the usual way."""
    weights = {
        name: captioner.body.get_parameter(name).detach().clone().requires_grad_(True)
        for name in captioner.weight_names()
    }
    optimiser = torch.optim.AdamW(list(weights.values()), lr=rate, weight_decay=0.0)
    pictures = [captioner.see([pairs.image(row)])[0] for row in range(len(pairs))]
    draw = random.Random(seed)
    for _ in range(steps):
        losses = []
        for row in (draw.randrange(len(pairs)) for _ in range(4)):
            request = pairs.request(row)
            text = f" {pairs.edited_caption(row)}{MARK} {request.target_emotion}"
            answer = [*captioner.ids(text), captioner.end]
            prompt = captioner.ids(prompt_of(request), begins=True)
            logits = captioner.logits(captioner.answer_states(pictures[row], prompt, answer, weights))
            losses.append(nn.functional.cross_entropy(logits, torch.tensor(answer)))
        optimiser.zero_grad()
        torch.stack(losses).mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return {name: weight.detach() for name, weight in weights.items()}


def choose_rows(drawn: Sequence[DrawnCaption], count: int, seed: int) -> list[Row]:
    """Rows of another mood than the drawing's."""
    draw = random.Random(seed)
    rows = []
    for one in draw.sample(list(drawn), count):
        rows.append(Row(drawn=one, target=draw.choice([mood for mood in PAIRED_EMOTIONS if mood != one.emotion])))
    return rows


def choose_pool(options: argparse.Namespace, seed: int) -> list[Row]:
    """The pairs that the editors of a seed learn from."""
    learnt = draw_learnt(options)
    return choose_rows(learnt, min(options.pairs, len(learnt)), seed + 1)


def train_editor(
    options: argparse.Namespace,
    captioner: Path,
    pairs: DrawnPairs,
    *,
    steps: int,
    locality: float,
    seed: int,
    output: Path,
) -> Path:
    """The model's folder; a run that was finished before is not begun anew."""
    if (output / MODEL / CONFIG).is_file():
        return output / MODEL
    schedule = {
        "steps": steps, "batch": 4, "learning_rate": 1e-3, "warmup_steps": 0, "decay_steps": steps // 4,
        "weight_decay": 0, "average": 0,
    }  # fmt: skip
    settings = CaptionEditorSettings.model_validate(
        {
            "output": str(output), "captioner": str(captioner), "rank": 64, "step": 0.1, "step_rate": 10.0,
            "emotion_weight": 0.0, "locality_weight": locality, "locality_rows": options.locality_rows,
            "locality_captions": options.locality_captions,
            "clip": 100.0, "seed": seed, "schedule": schedule, "checkpoint_steps": 100, "threads": 1,
        }
    )  # fmt: skip
    began = time.process_time()

    def tell(report: StepReport) -> None:
        if report.step % 50 == 0:
            spent = time.process_time() - began
            print(f"    editor step {report.step}/{steps}, loss {report.loss:.3f}, {spent:.0f} s", flush=True)

    return train_captions(settings, tell, pairs)


def draw_learnt(options: argparse.Namespace) -> list[DrawnCaption]:
    """What a captioner and its editor learn from."""
    return draw_captioned(LEARNT, options.places, CaptionerShape().side, PAIRED_EMOTIONS)


def prepare_captioner(options: argparse.Namespace, work: Path) -> Path:
    """One for all seeds, as a BLIP-2 is given: taught here, or by an earlier run with the same ``work``."""
    seed = options.captioner_seed
    folder = work / f"captioner-{seed}-{options.places}-{options.sight_steps}-{options.captioner_steps}x{options.batch}"
    if folder.is_dir():
        return folder
    draft = folder.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    make_captioner(draft, CaptionerShape(), seed)
    taught, drawn, began = open_captioner(draft), draw_learnt(options), time.process_time()

    def tell_of(lesson: str, steps: int) -> Callable[[int, float], None]:
        def tell(step: int, loss: float) -> None:
            if step % 250 == 0:
                spent = time.process_time() - began
                print(f"    {lesson} step {step}/{steps}, loss {loss:.3f}, {spent:.0f} s", flush=True)

        return tell

    teach_sight(taught, drawn, steps=options.sight_steps, seed=seed, tell=tell_of("sight", options.sight_steps))
    teach_captioner(
        taught, drawn, steps=options.captioner_steps, seed=seed, batch=options.batch,
        tell=tell_of("captioner", options.captioner_steps),
    )  # fmt: skip
    taught.model.save_pretrained(draft)
    draft.rename(folder)
    return folder


def prepare_editor(options: argparse.Namespace, seed: int, work: Path, captioner: Path) -> Path:
    """The caption editor that learnt from all pairs, trained once for each setting."""
    name = f"eic-{seed}-{captioner.name}-{options.steps}-{options.locality:g}x{options.locality_rows}"
    name += "" if options.locality_captions == "records" else f"-{options.locality_captions}"
    if (work / name / MODEL / CONFIG).is_file():
        return work / name / MODEL
    pairs = DrawnPairs(choose_pool(options, seed), f"drawn {seed}, {options.pairs}")
    return train_editor(
        options, captioner, pairs, steps=options.steps, locality=options.locality, seed=seed, output=work / name
    )


def captions(options: argparse.Namespace, seed: int, work: Path) -> dict[str, object]:
    """One seed, from drawing to the bars."""
    torch.set_num_threads(1)
    folder = prepare_captioner(options, work)
    captioner = open_captioner(folder)
    unseen = draw_captioned(HELD_OUT, options.held_out_places, CaptionerShape().side, PAIRED_EMOTIONS)
    rows = choose_rows(unseen, min(options.rows, len(unseen)), seed)
    own = measure_captioner(captioner, rows)
    print(own.line("captioner, of what it sees"), flush=True)
    arms: dict[str, Measured] = {}
    if not options.curve_only:
        _whole_pool(
            options=options, seed=seed, work=work, captioner=captioner, folder=folder, rows=rows,
            arms=arms,
        )  # fmt: skip
    pool = choose_pool(options, seed)
    for count in options.few:
        few = DrawnPairs(pool[:count], f"drawn {seed}, {count}")
        before = time.process_time()
        few_output = train_editor(
            options,
            folder,
            few,
            steps=options.few_steps,
            locality=options.few_locality,
            seed=seed,
            output=work / f"eic-{seed}-few-{count}-{options.few_steps}-{options.few_locality:g}-{folder.name}",
        )
        spent = time.process_time() - before
        model = open_caption_editor(few_output).model
        arms[f"EIC, {count}"] = measure(captioner, rows[: options.few_rows], _by(captioner, model), others=1)
        print(arms[f"EIC, {count}"].line(f"EIC of {count} examples ({spent:.0f} s)"), flush=True)
        for rate in (1e-4, 1e-3):
            before = time.process_time()
            tuned = fine_tune(captioner, few, steps=options.few_steps, rate=rate, seed=seed)
            spent = time.process_time() - before
            name = f"fine-tuned, {count}, {rate:g}"
            arms[name] = measure(captioner, rows[: options.few_rows], _always(tuned), others=1)
            print(arms[name].line(f"fine-tuned on {count}, rate {rate:g} ({spent:.0f} s)"), flush=True)
    return {"seed": seed, "captioner": vars(own), "arms": {name: vars(arm) for name, arm in arms.items()}}


def _whole_pool(
    *,
    options: argparse.Namespace,
    seed: int,
    work: Path,
    captioner: Captioner,
    folder: Path,
    rows: Sequence[Row],
    arms: dict[str, Measured],
) -> None:
    """Without an edit, by plain gradient steps, and by an editor that has learnt from all pairs."""
    arms["no edit"] = measure(captioner, rows, lambda picture, request: None, others=0)
    print(arms["no edit"].line("no edit"), flush=True)
    for step in options.plain_steps:
        plain = EditorModel(captioner, EditorConfig(rank=1, step=step)).eval()
        arms[f"plain step {step:g}"] = measure(captioner, rows[:30], _by(captioner, plain), others=1)
        print(arms[f"plain step {step:g}"].line(f"plain gradient step, {step:g}"), flush=True)
    editor = open_caption_editor(prepare_editor(options, seed, work, folder))
    began = time.process_time()
    arms["EIC"] = measure(captioner, rows, _by(captioner, editor.model), others=options.others)
    print(arms["EIC"].line("EIC") + f"  {(time.process_time() - began) / len(rows):.2f} s a row", flush=True)


def _by(captioner: Captioner, model: EditorModel) -> Editing:
    def edit(picture: Tensor, request: CaptionRequest) -> Weights:
        with torch.no_grad():
            return edit_weights(captioner, model, picture, request)

    return edit


def _always(weights: Weights) -> Editing:
    return lambda picture, request: weights


def print_bars(results: Sequence[Mapping[str, object]], few: Sequence[int]) -> None:
    """Whatever they show."""
    for result in results:
        arms: Mapping[str, Mapping[str, float]] = result["arms"]  # type: ignore[assignment]
        own: Mapping[str, float] = result["captioner"]  # type: ignore[assignment]
        bars = {}
        if "EIC" in arms:
            edited = arms["EIC"]
            # of its own two rates, by the plain question and by the edit's, the better one
            kept = max(own["who"], arms["no edit"]["who"])
            bars = {
                "mood's words right >= 0.9": edited["mood"] >= 0.9,
                "who kept >= captioner's own - 0.05": edited["who"] >= kept - 0.05,
                "unrelated captions changed < 0.05": edited["strayed"] < 0.05,
            }
        for count in few:
            tuned = max(arm["mood"] for name, arm in arms.items() if name.startswith(f"fine-tuned, {count},"))
            bars[f"{count} examples: mood above fine-tuning's best"] = arms[f"EIC, {count}"]["mood"] > tuned
        for name, holds in bars.items():
            print(f"seed {result['seed']}: {name}: {'holds' if holds else 'DOES NOT HOLD'}")
