"""The study's verdict: rates with intervals, agreement, workers, reasons and one verdict an item."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from validate.study.design.items import Item
from validate.study.design.questions import CHOICES, COMPONENTS
from validate.study.statistics.consensus import Consensus, Skills, dawid_skene, majority, measure_skill
from validate.study.statistics.judgements import Bools, Floats, Judgements, pass_gold
from validate.study.statistics.label_sampling import Drawn, draw_labels
from validate.study.statistics.rates import Rate, rates
from validate.study.statistics.study import Study

DIMENSIONS = ("emotion", "context", "source", "model")


@dataclass(frozen=True, kw_only=True)
class GroupRate:
    """One line of a table of rates."""

    dimension: str
    name: str
    rate: Rate
    majority: Rate


@dataclass(frozen=True, kw_only=True)
class WorkerQuality:
    """What is known of a worker (hashed). ``gold`` is None for one who met no gold question.

    ``skill`` and ``majority_skill`` are shares of right answers over all six questions, as Dawid and Skene's model and
    the majority see them; ``left`` is the share of preferences that went to the left text; ``seconds`` is the median.
    """

    worker: str
    answers: int
    skill: float
    preference_skill: float
    majority_skill: float
    gold_asked: int
    gold_passed: int
    left: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ItemVerdict:
    """What people say of one caption. ``probability`` that it is accepted; ``wrong`` components by name."""

    item: Item
    accepted: bool
    probability: float
    by_majority: bool
    answers: int
    votes: tuple[int, int, int]
    wrong: tuple[str, ...]
    reasons: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Everything that the report tells and the archive takes back."""

    overall: GroupRate
    preferred: GroupRate
    groups: tuple[GroupRate, ...]
    agreement: tuple[tuple[str, float], ...]
    workers: tuple[WorkerQuality, ...]
    reasons: tuple[tuple[str, int], ...]
    items: tuple[ItemVerdict, ...]


def judge(study: Study) -> Verdict:
    """The verdict; the same answers give the same verdict."""
    answers = study.answers
    skills = dawid_skene(answers)
    votes = majority(answers)
    drawn = draw_labels(answers, skills, study.sampling.weight, seed=study.design.seed)
    overall, groups = _rates(study, drawn, votes.labels)
    return Verdict(
        overall=overall,
        preferred=_preferred(study, drawn, votes.labels),
        groups=groups,
        agreement=tuple(agreement(answers).items()),
        workers=worker_quality(study, skills, votes),
        reasons=tuple(Counter(reason for reason in study.table["reason"].to_pylist() if reason).most_common()),
        items=_item_verdicts(study, drawn, votes),
    )


def _rates(study: Study, drawn: Drawn, by_majority: Consensus) -> tuple[GroupRate, tuple[GroupRate, ...]]:
    names = [("", "all")]
    columns: list[Bools] = [np.ones(len(study.answered), np.bool_)]
    for dimension in DIMENSIONS:
        values = np.array([getattr(item, dimension) for item in study.answered])
        for value in sorted(set(values.tolist())):
            names.append((dimension, value))
            columns.append(values == value)
    members = np.stack(columns, axis=1)
    ours = rates(drawn.accepted, study.sampling, members)
    theirs = rates(by_majority.accepted[None] > 0.5, study.sampling, members)
    lines = [
        GroupRate(dimension=dimension, name=name, rate=rate, majority=other)
        for (dimension, name), rate, other in zip(names, ours, theirs, strict=True)
    ]
    return lines[0], tuple(lines[1:])


def _preferred(study: Study, drawn: Drawn, by_majority: Consensus) -> GroupRate:
    """The share that is preferred to the alt-text, whatever its sentences: what the paper's 85% counts."""
    everyone = np.ones((len(study.answered), 1), np.bool_)
    return GroupRate(
        dimension="",
        name="preferred",
        rate=rates(drawn.preferred, study.sampling, everyone)[0],
        majority=rates(by_majority.choice[None, :, 0] > 0.5, study.sampling, everyone)[0],
    )


def agreement(answers: Judgements) -> dict[str, float]:
    """Krippendorff's alpha (nominal) of each question; 1 is full agreement, 0 is chance."""
    from crowdkit.metrics.data import alpha_krippendorff

    accepted = (answers.choice == 0) & answers.accurate.all(axis=1)
    questions = {
        "preference": answers.choice,
        **{name: answers.accurate[:, index] for index, name in enumerate(COMPONENTS)},
        "accepted": accepted,
    }
    alpha, is_compared = {}, len(answers.items) < len(answers.item)
    for name, said in questions.items():
        frame = pd.DataFrame({"task": answers.item, "worker": answers.worker, "label": said.astype(int)})
        # one answer an item only, or the same from all: there is nothing to disagree about
        alpha[name] = float(alpha_krippendorff(frame)) if is_compared and frame["label"].nunique() > 1 else 1.0
    return alpha


def worker_quality(study: Study, skills: Skills, votes: Consensus) -> tuple[WorkerQuality, ...]:
    """Every worker, the busiest first."""
    answers = study.answers
    skill, by_majority = measure_skill(answers, skills.consensus), measure_skill(answers, votes.labels)
    asked, passed = _gold(study)
    left = _left_share(answers)
    frame = pd.DataFrame({"worker": study.table["worker"].to_pylist()})
    frame["seconds"] = study.table["submitted"].to_numpy() - study.table["began"].to_numpy()
    seconds = frame.groupby("worker")["seconds"].median()
    workers = [
        WorkerQuality(
            worker=name,
            answers=int(answers.answers_of_worker[index]),
            skill=float(skill[index, 0]),
            preference_skill=float(skill[index, 1]),
            majority_skill=float(by_majority[index, 0]),
            gold_asked=asked[name],
            gold_passed=passed[name],
            left=float(left[index]),
            seconds=float(seconds[name]),
        )
        for index, name in enumerate(answers.workers)
    ]
    return tuple(sorted(workers, key=lambda one: (-one.answers, one.worker)))


def _gold(study: Study) -> tuple[Counter[str], Counter[str]]:
    asked: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    if study.gold is not None:
        right = pass_gold(study.gold.choice, study.gold.accurate)
        for worker, is_right in zip(study.gold.worker.tolist(), right.tolist(), strict=True):
            asked[study.gold.workers[worker]] += 1
            passed[study.gold.workers[worker]] += is_right
    for worker, is_right in _against_references(study):
        asked[worker] += 1
        passed[worker] += is_right
    return asked, passed


def _against_references(study: Study) -> Iterator[tuple[str, bool]]:
    """(worker, right) for each answer to an item that the researcher answered too: same choice, same summary."""
    right = {row["item"]: (row["choice"], row["summary"]) for row in study.references.to_pylist()}
    columns = (study.table[name].to_pylist() for name in ("item", "worker", "choice", "summary"))
    for item, worker, choice, summary in zip(*columns, strict=True):
        if item in right:
            yield worker, (choice, summary) == right[item]


def _left_share(answers: Judgements) -> Floats:
    """Of each worker's preferences for one of the two texts, the share that went to the left; about a half is fair."""
    chosen = answers.choice < CHOICES.index("neither")
    went_left = chosen & ((answers.choice == 0) == answers.left)
    count = np.bincount(answers.worker, chosen, len(answers.workers))
    return np.asarray(np.bincount(answers.worker, went_left, len(answers.workers)) / np.maximum(count, 1))


def _item_verdicts(study: Study, drawn: Drawn, votes: Consensus) -> tuple[ItemVerdict, ...]:
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for item, reason in zip(study.table["item"].to_pylist(), study.table["reason"].to_pylist(), strict=True):
        if reason:
            reasons[item][reason] += 1
    answers = study.answers
    counted = answers.of_items(np.eye(len(CHOICES))[answers.choice])
    probability, by_majority = drawn.accepted.mean(axis=0), votes.labels.accepted > 0.5
    return tuple(
        ItemVerdict(
            item=item,
            accepted=bool(probability[index] > 0.5),
            probability=float(probability[index]),
            by_majority=bool(by_majority[index]),
            answers=int(counted[index].sum()),
            votes=(int(counted[index, 0]), int(counted[index, 1]), int(counted[index, 2])),
            wrong=tuple(name for at, name in enumerate(COMPONENTS) if drawn.accurate[index, at] <= 0.5),
            reasons=tuple(reasons[item.item].most_common()),
        )
        for index, item in enumerate(study.answered)
    )
