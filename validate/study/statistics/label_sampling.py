"""How unsure the labels are: whole sets of them, drawn from Dawid and Skene's model by Gibbs sampling.

An item's truth is one of 96 states: three preferences times two to the five sentences. Workers err on each question by
their own confusion matrix; which states are common is learnt, so that the questions of one item may hang together.
Labels, matrices and frequencies are drawn in turn, which carries the uncertainty of all three into the labels.
"""

from dataclasses import dataclass

import numpy as np

from validate.study.design.questions import CHOICES, COMPONENTS
from validate.study.statistics.consensus import Skills
from validate.study.statistics.judgements import Bools, Floats, Ints, Judgements

BURN_IN, DRAWS = 60, 240
_SPLIT = 2 ** len(COMPONENTS)
_BITS = (np.arange(_SPLIT)[:, None] >> np.arange(len(COMPONENTS))) & 1
STATES = len(CHOICES) * _SPLIT
ACCEPTED_STATE = _SPLIT - 1
"""Preference 0 (generated) and all five bits set."""
_PRIOR_ANSWERS = 2.0
"""A worker of few answers is taken to err as all do: so many answers of the average worker are added to each row."""
_PRIOR_ITEMS = 1.0


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """``accepted``, and ``preferred`` whatever the sentences, draws x items; ``accurate``, items x 5, mean of draws."""

    accepted: Bools
    preferred: Bools
    accurate: Floats


def draw_labels(
    answers: Judgements, skills: Skills, weights: Floats, *, seed: int, draws: int = DRAWS, burn_in: int = BURN_IN
) -> Drawn:
    """Draws sets of labels, begun at the fit; ``weights`` (one an item) make the frequencies those of the archive."""
    random = np.random.default_rng(seed)
    sampler = _Sampler(answers, skills, weights, random)
    accepted = np.zeros((draws, len(answers.items)), np.bool_)
    preferred = np.zeros_like(accepted)
    accurate = np.zeros((len(answers.items), len(COMPONENTS)))
    for sweep in range(burn_in + draws):
        state = sampler.sweep()
        if sweep >= burn_in:
            accepted[sweep - burn_in] = state == ACCEPTED_STATE
            preferred[sweep - burn_in] = state < _SPLIT
            accurate += _BITS[state % _SPLIT]
    return Drawn(accepted=accepted, preferred=preferred, accurate=accurate / draws)


class _Sampler:
    """The chain's state: confusion matrices and frequencies; labels are drawn from them, and they from the labels."""

    def __init__(self, answers: Judgements, skills: Skills, weights: Floats, random: np.random.Generator) -> None:
        self._answers, self._random = answers, random
        # scaled to the effective number of items, so that frequencies are no surer than the sample makes them
        self._weights = weights * (weights.sum() / np.square(weights).sum())
        self._choice, self._accurate = skills.choice, skills.accurate
        self._base_choice = _average(skills.choice, answers.answers_of_worker)
        self._base_accurate = _average(skills.accurate, answers.answers_of_worker)
        self._base_states = _expected(skills)
        self._states = self._base_states
        self._said = answers.accurate.astype(np.int64)

    def sweep(self) -> Ints:
        """One state an item; then matrices and frequencies that fit them."""
        state = self._labels()
        preference, bits = state // _SPLIT, _BITS[state % _SPLIT]
        answers = self._answers
        self._choice = self._matrices(answers.worker, preference[answers.item], answers.choice, self._base_choice)
        self._accurate = self._matrices(
            np.repeat(answers.worker, len(COMPONENTS)),
            bits[answers.item].ravel(),
            self._said.ravel(),
            self._base_accurate,
        )
        counts = np.bincount(state, self._weights, STATES) + _PRIOR_ITEMS * self._base_states
        self._states = _dirichlet(self._random, counts)
        return state

    def _labels(self) -> Ints:
        answers = self._answers
        by_choice = answers.of_items(np.log(self._choice)[answers.worker, :, answers.choice])
        log = np.log(self._accurate)
        # what an answer says for a sentence's being accurate rather than not: workers x said
        favour = (log[:, 1] - log[:, 0])[answers.worker[:, None], self._said]
        by_bits = answers.of_items(favour) @ _BITS.T
        logs = (by_choice[:, :, None] + by_bits[:, None, :]).reshape(-1, STATES) + np.log(self._states + 1e-300)
        # single precision is finer than the draw needs, and this array is most of the work
        share = (logs - logs.max(axis=1, keepdims=True)).astype(np.float32)
        np.exp(share, out=share)
        np.cumsum(share, axis=1, out=share)
        at = self._random.random((len(share), 1), dtype=np.float32) * share[:, -1:]
        return np.asarray(np.minimum((share < at).sum(axis=1), STATES - 1))

    def _matrices(self, worker: Ints, true: Ints, said: Ints, base: Floats) -> Floats:
        labels = base.shape[0]
        workers = len(self._answers.workers)
        counts = np.bincount((worker * labels + true) * labels + said, minlength=workers * labels * labels)
        return _dirichlet(self._random, counts.reshape(workers, labels, labels) + _PRIOR_ANSWERS * base)


def _average(matrices: Floats, count: Ints) -> Floats:
    return np.asarray(np.average(matrices, axis=0, weights=count))


def _expected(skills: Skills) -> Floats:
    """The states' frequencies were the questions independent."""
    fine = skills.consensus.accurate.mean(axis=0).clip(0.01, 0.99)
    bits = np.where(_BITS == 1, fine, 1 - fine).prod(axis=1)
    choice = skills.consensus.choice.mean(axis=0).clip(0.01, None)
    together = np.outer(choice / choice.sum(), bits).ravel()
    return np.asarray(together / together.sum())


def _dirichlet(random: np.random.Generator, counts: Floats) -> Floats:
    gammas = random.standard_gamma(counts).clip(1e-300, None)
    return np.asarray(gammas / gammas.sum(axis=-1, keepdims=True))
