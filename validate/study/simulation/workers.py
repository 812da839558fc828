"""Workers of known skill who answer a study: a rehearsal, and the ground on which the statistics are proven."""

from dataclasses import dataclass

import numpy as np

from validate.study.design.questions import CHOICES, COMPONENTS
from validate.study.statistics.judgements import Bools, Ints, Judgements, judgements


@dataclass(frozen=True, kw_only=True)
class SimulatedWorker:
    """Answers each question rightly with probability ``right``, else any of the wrong answers.

    With probability ``leftish`` the worker does not look, and prefers whatever stands on the left.
    """

    name: str
    right: float
    leftish: float = 0.0

    @property
    def skill(self) -> float:
        """The probability that an answer to any of the six questions is right."""
        return (self.preference_skill + len(COMPONENTS) * self.right) / (1 + len(COMPONENTS))

    @property
    def preference_skill(self) -> float:
        """The same of the preference alone, for texts in random order and truths that are rarely `neither`."""
        return (1 - self.leftish) * self.right + self.leftish / 2


CREW = (
    SimulatedWorker(name="good-1", right=0.95),
    SimulatedWorker(name="good-2", right=0.93),
    SimulatedWorker(name="good-3", right=0.91),
    SimulatedWorker(name="good-4", right=0.88),
    SimulatedWorker(name="careless-1", right=0.75),
    SimulatedWorker(name="careless-2", right=0.65),
    SimulatedWorker(name="adversarial", right=0.25),
    SimulatedWorker(name="left-biased", right=0.88, leftish=0.6),
)
"""Half of them good, as in a study without qualifications."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is true of each item: ``choice`` (a place in CHOICES) and ``accurate`` (items x 5)."""

    choice: Ints
    accurate: Bools

    @property
    def accepted(self) -> Bools:
        """Preferred, and all five accurate."""
        return np.asarray((self.choice == 0) & self.accurate.all(axis=1))


def draw_truth(random: np.random.Generator, ease: "np.typing.NDArray[np.float64]") -> Truth:
    """Truths of items; ``ease`` (about 0) moves an item's chances.

    A caption's faults come together: a poor one has several wrong sentences, and is less often preferred.
    """
    poor = random.random(len(ease)) < 1 / (1 + np.exp(2.0 + ease))
    fine = random.random((len(ease), len(COMPONENTS))) < np.where(poor, 0.55, 0.99)[:, None]
    draw = random.random(len(ease))
    preferred = np.where(poor, 0.55, 0.95)
    choice = np.where(draw < preferred, 0, np.where(draw < preferred + (1 - preferred) * 0.7, 1, 2))
    return Truth(choice=choice.astype(np.int64), accurate=np.asarray(fine))


def simulate_judgements(
    names: "list[str]", truth: Truth, crew: tuple[SimulatedWorker, ...], each: int, random: np.random.Generator
) -> Judgements:
    """Every item answered by ``each`` of the crew, all of them equally busy."""
    item = np.repeat(np.arange(len(names)), each)
    worker = _shifts(len(names), len(crew), each, random).ravel()
    right = np.array([one.right for one in crew])[worker]
    leftish = np.array([one.leftish for one in crew])[worker]
    left = random.random(len(item)) < 0.5
    wrong = (truth.choice[item] + random.integers(1, len(CHOICES), len(item))) % len(CHOICES)
    looked = np.where(random.random(len(item)) < right, truth.choice[item], wrong)
    choice = np.where(random.random(len(item)) < leftish, np.where(left, 0, 1), looked)
    correct = random.random((len(item), len(COMPONENTS))) < right[:, None]
    accurate = truth.accurate[item] == correct
    said_by = [crew[index].name for index in worker]
    return judgements([names[index] for index in item], said_by, choice, accurate, left)


def _shifts(items: int, workers: int, each: int, random: np.random.Generator) -> Ints:
    """Items x each: workers in turn around a shuffled table, so that each gets as many items as any other."""
    order = random.permutation(workers)
    turn = (np.arange(items)[:, None] * each + np.arange(each)) % workers
    # a fresh seating order every full round, so that no two workers always meet
    seats = np.stack([random.permutation(order) for _ in range(items)]) if each == workers else None
    return np.asarray(order[turn] if seats is None else seats[:, :each])
