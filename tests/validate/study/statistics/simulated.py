"""Studies of an archive whose truth is known: workers of known skill answer a stratified sample of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validate.study.simulation.workers import CREW, SimulatedWorker, Truth, draw_truth, simulate_judgements
from validate.study.statistics.consensus import Consensus, dawid_skene, majority, measure_skill
from validate.study.statistics.label_sampling import draw_labels
from validate.study.statistics.rates import Rate, make_design, rates

ITEMS, WORKERS_AN_ITEM, IMAGES, STRATA = 1_000, 5, 20_000, 108


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One study: the true rate, ours and the majority's, and how far off the workers' skills are.

    ``parameter``: against the probability with which the worker answers rightly; ``shown``: against the share of right
    answers that the worker gave. Columns: all six questions; the preference alone. ``fewest``: answers of a worker.
    """

    true: float
    ours: Rate
    majority: Rate
    parameter: NDArray[np.float64]
    shown: NDArray[np.float64]
    by_majority: NDArray[np.float64]
    fewest: int


def simulated_study(seed: int, crew: Sequence[SimulatedWorker] = CREW) -> Outcome:
    """An archive in strata of very different sizes and rates, 1,000 sampled by their square roots, 5 answers each."""
    random = np.random.default_rng(seed)
    sizes, taken = _strata(random)
    stratum = np.repeat(np.arange(STRATA), sizes)
    truth = draw_truth(random, random.normal(0, 0.7, STRATA)[stratum])
    chosen = np.concatenate(
        [random.choice(np.flatnonzero(stratum == one), taken[one], replace=False) for one in range(STRATA)]
    )
    asked = Truth(choice=truth.choice[chosen], accurate=truth.accurate[chosen])
    answers = simulate_judgements([f"{at:04d}" for at in range(ITEMS)], asked, tuple(crew), WORKERS_AN_ITEM, random)
    design = make_design([f"{stratum[at]:03d}" for at in chosen], [int(sizes[stratum[at]]) for at in chosen])
    skills, votes = dawid_skene(answers), majority(answers)
    drawn = draw_labels(answers, skills, design.weight, seed=seed)
    everyone = np.ones((ITEMS, 1), np.bool_)
    known = {worker.name: worker for worker in crew}
    parameter = np.array([[known[name].skill, known[name].preference_skill] for name in answers.workers])
    certain = Consensus(choice=np.eye(3)[asked.choice], accurate=asked.accurate.astype(float))
    ours = measure_skill(answers, skills.consensus)
    return Outcome(
        true=float(truth.accepted.mean()),
        ours=rates(drawn.accepted, design, everyone)[0],
        majority=rates(votes.labels.accepted[None] > 0.5, design, everyone)[0],
        parameter=np.abs(ours - parameter),
        shown=np.abs(ours - measure_skill(answers, certain)),
        by_majority=np.abs(measure_skill(answers, votes.labels) - parameter),
        fewest=int(answers.answers_of_worker.min()),
    )


def _strata(random: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Images of each stratum, and how many of them are asked: at least two, ITEMS in all."""
    shares = random.pareto(1.5, STRATA) + 0.3
    sizes = np.maximum(8, np.round(shares / shares.sum() * IMAGES)).astype(np.int64)
    taken = np.full(STRATA, 2, np.int64)
    while taken.sum() < ITEMS:
        taken[np.argmax(np.where(taken < sizes, np.sqrt(sizes) / (taken + 0.5), 0))] += 1
    return sizes, taken


def covered(outcomes: Sequence[Outcome], by_majority: bool = False) -> float:
    """The share of the intervals that hold the true rate."""
    pairs = [(one.majority if by_majority else one.ours, one.true) for one in outcomes]
    return float(np.mean([rate.low <= true <= rate.high for rate, true in pairs]))
