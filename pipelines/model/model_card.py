"""Puts an evaluation's figures into the card of an exported model, in a section that the next evaluation replaces."""

import re
from collections.abc import Sequence

from train.evaluation.scoring import Evaluation

BEGIN, END = "<!-- evaluation: begin -->", "<!-- evaluation: end -->"


def with_figures(card: str, found: Sequence[Evaluation], baseline: Sequence[Evaluation], caveat: str) -> str:
    """The card with the section, at its end when it had none; equal figures give equal text."""
    section = f"{BEGIN}\n{_section(found, baseline, caveat)}{END}\n"
    if BEGIN in card and END in card:
        return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}\n?", lambda _: section, card, count=1, flags=re.DOTALL)
    return f"{card.rstrip()}\n\n{section}"


def _section(found: Sequence[Evaluation], baseline: Sequence[Evaluation], caveat: str) -> str:
    lines = ["## Evaluation", ""]
    if caveat:
        lines += [f"**{caveat[0].upper()}{caveat[1:]}.**", ""]
    lines += ["Per cent, mean ± deviation over the folds; `chance` is what guessing gives.", ""]
    heads = ["set", "pictures", "figure", "chance", "this model", *([baseline[0].model] if baseline else [])]
    lines += [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for number, evaluation in enumerate(found):
        for name, figure in evaluation.figures.items():
            cells = [evaluation.data, f"{evaluation.pictures:,}", name, f"{figure.chance:.2f}"]
            own = [evaluation, *([baseline[number]] if baseline else [])]
            cells += [f"{one.figures[name].mean:.2f} ± {one.figures[name].deviation:.2f}" for one in own]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])
