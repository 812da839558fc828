"""What the answers to each question come to: by majority, and by Dawid and Skene's model as crowd-kit fits it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from validate.study.design.questions import CHOICES, COMPONENTS
from validate.study.statistics.judgements import Floats, Judgements

ITERATIONS, TOLERANCE = 100, 1e-4
_BLANK = 1e-3
"""Keeps a worker who never gave some answer from ruling it out for good."""


@dataclass(frozen=True, kw_only=True)
class Consensus:
    """Probabilities that an item's true answer is this one; ``choice`` is items x 3, ``accurate`` items x 5."""

    choice: Floats
    accurate: Floats

    @property
    def accepted(self) -> Floats:
        """Preferred and all five accurate, the questions taken as independent; one number an item."""
        return np.asarray(self.choice[:, 0] * self.accurate.prod(axis=1))

    @property
    def labels(self) -> "Consensus":
        """The likeliest answers as certainties."""
        best = np.eye(len(CHOICES))[self.choice.argmax(axis=1)]
        return Consensus(choice=best, accurate=(self.accurate > 0.5).astype(float))


@dataclass(frozen=True, kw_only=True)
class Skills:
    """Dawid and Skene's fit: the consensus, and each worker's confusion matrix.

    ``choice`` is workers x true x said (3 x 3), ``accurate`` workers x true x said (2 x 2).
    """

    consensus: Consensus
    choice: Floats
    accurate: Floats


def majority(answers: Judgements) -> Consensus:
    """The shares of the votes; a tie leaves the first answer ahead, and a sentence inaccurate."""
    votes = answers.of_items(np.eye(len(CHOICES))[answers.choice])
    fine = answers.of_items(answers.accurate.astype(float))
    count = votes.sum(axis=1, keepdims=True)
    return Consensus(choice=votes / count, accurate=fine / count)


def dawid_skene(answers: Judgements) -> Skills:
    """Two fits: of the preference, and of the five sentences together, which share a worker's confusion matrix."""
    choice, of_choice = _fit(answers.item, answers, answers.choice, len(CHOICES))
    count = len(COMPONENTS)
    tasks = (answers.item[:, None] * count + np.arange(count)).ravel()
    said = answers.accurate.astype(np.int64).ravel()
    accurate, of_accurate = _fit(tasks, answers, said, 2)
    consensus = Consensus(choice=choice, accurate=accurate[:, 1].reshape(-1, count))
    return Skills(consensus=consensus, choice=of_choice, accurate=of_accurate)


def _fit(
    tasks: "np.typing.NDArray[np.int64]", answers: Judgements, said: "np.typing.NDArray[np.int64]", labels: int
) -> tuple[Floats, Floats]:
    """Tasks x labels, and workers x true x said."""
    from crowdkit.aggregation import DawidSkene

    workers = np.repeat(answers.worker, len(tasks) // len(answers.worker))
    frame = pd.DataFrame({"task": tasks, "worker": workers, "label": said})
    fit = DawidSkene(n_iter=ITERATIONS, tol=TOLERANCE).fit(frame)
    assert fit.probas_ is not None and fit.errors_ is not None
    names = range(labels)
    probabilities = fit.probas_.reindex(index=range(tasks.max() + 1), columns=names, fill_value=0.0)
    pairs = pd.MultiIndex.from_product([range(len(answers.workers)), names])
    errors = fit.errors_.reindex(index=pairs, columns=names).fillna(0.0).to_numpy()
    confusion = errors.reshape(len(answers.workers), labels, labels).transpose(0, 2, 1) + _BLANK
    return probabilities.to_numpy(), confusion / confusion.sum(axis=2, keepdims=True)


def measure_skill(answers: Judgements, consensus: Consensus) -> Floats:
    """Each worker's share of right answers over all six questions, as the consensus sees it; workers x 2.

    Columns: all six questions; the preference alone.
    """
    preferred = consensus.choice[answers.item, answers.choice]
    fine = consensus.accurate[answers.item]
    sentences = np.where(answers.accurate, fine, 1 - fine).sum(axis=1)
    count = answers.answers_of_worker
    both = np.bincount(answers.worker, preferred + sentences, len(answers.workers)) / (count * (1 + len(COMPONENTS)))
    alone = np.bincount(answers.worker, preferred, len(answers.workers)) / count
    return np.stack([both, alone], axis=1)
