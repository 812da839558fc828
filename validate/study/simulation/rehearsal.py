"""A rehearsal of a study: simulated workers of known skill answer its items, and everything says that they are that."""

from collections.abc import Iterator, Sequence

import numpy as np

from moodarchive.tables.keys import digest
from validate.study.answers.importing import RawAnswer
from validate.study.design.items import Item
from validate.study.design.questions import CHOICES, COMPONENTS, GENERATED, REASONS
from validate.study.sampling.gold import select_examples
from validate.study.simulation.workers import CREW, SimulatedWorker, Truth, draw_truth, simulate_judgements

SIMULATED = "simulated"
_OPENED = 1_700_000_000.0
"""The clock of a rehearsal: its answers do not depend on the day."""


def simulate_truth(items: Sequence[Item], seed: int) -> Truth:
    """What a rehearsal takes to be true of each item; a gold question's caption is wrong throughout."""
    random = np.random.default_rng([seed, 1])
    # some emotions are harder to caption than others
    ease = np.array([int(digest([seed, item.emotion])[:6], 16) / 2**23 - 1 for item in items])
    truth = draw_truth(random, ease)
    gold = np.array([item.gold for item in items])
    return Truth(
        choice=np.where(gold, CHOICES.index("original"), truth.choice), accurate=truth.accurate & ~gold[:, None]
    )


def simulate_rows(
    items: Sequence[Item], each: int, seed: int, crew: tuple[SimulatedWorker, ...] = CREW
) -> Iterator[RawAnswer]:
    """The crew's answers; gold questions that serve as worked examples are not asked."""
    examples = select_examples(list(items))
    asked = [item for item in items if item.item not in examples]
    random = np.random.default_rng([seed, 2])
    names = [item.item for item in asked]
    answers = simulate_judgements(names, simulate_truth(asked, seed), crew, min(each, len(crew)), random)
    reasons = random.integers(0, len(REASONS), len(answers.item))
    seconds = random.gamma(4.0, 8.0, len(answers.item))
    for index in range(len(answers.item)):
        choice, accurate = CHOICES[answers.choice[index]], tuple(answers.accurate[index].tolist())
        accepted = choice == GENERATED and all(accurate)
        item, worker = answers.items[answers.item[index]], answers.workers[answers.worker[index]]
        assert len(accurate) == len(COMPONENTS)
        yield RawAnswer(
            where=f"answer {index + 1}",
            item=item,
            worker=worker,
            assignment=f"{SIMULATED}:{worker}:{item}",
            left=bool(answers.left[index]),
            choice=choice,
            accurate=accurate,
            reason="" if accepted else list(REASONS)[reasons[index]],
            began=_OPENED + index,
            submitted=_OPENED + index + float(seconds[index]),
        )
