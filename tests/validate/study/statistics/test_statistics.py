"""What the study's figures are worth: skills are recovered, intervals cover, agreement is crowd-kit's."""

import json
import os
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from scipy import stats

from tests.validate.study.statistics.simulated import covered, simulated_study
from validate.study.statistics.consensus import majority
from validate.study.statistics.judgements import Judgements, judgements
from validate.study.statistics.label_sampling import draw_labels
from validate.study.statistics.rates import make_design, rates
from validate.study.statistics.verdict import agreement


def test_skills_are_recovered_and_intervals_cover_the_truth_in_a_handful_of_studies() -> None:
    outcomes = [simulated_study(seed) for seed in range(4)]
    assert min(one.fewest for one in outcomes) >= 600
    assert max(one.parameter[:, 0].max() for one in outcomes) < 0.05
    assert max(one.shown.max() for one in outcomes) < 0.05
    # of four intervals of 95% three miss with a probability of 0.0005
    assert covered(outcomes) >= 0.5
    # the majority's figure is far off in each: a quarter of these answers are worth nothing
    assert covered(outcomes, by_majority=True) == 0
    assert max(one.by_majority[:, 0].max() for one in outcomes) > 0.05


@pytest.mark.torture
@pytest.mark.timeout(7_200)
def test_over_a_thousand_studies_every_skill_is_recovered_and_intervals_cover_at_their_rate() -> None:
    studies = int(os.environ.get("MOODARCHIVE_STUDIES", "1000"))
    from threadpoolctl import threadpool_limits

    # as many processes as cores: more threads in each would only wait for one another
    with ProcessPoolExecutor(os.cpu_count(), initializer=threadpool_limits, initargs=(1,)) as pool:
        outcomes = list(pool.map(simulated_study, range(studies), chunksize=4))
    parameter = np.stack([one.parameter for one in outcomes])
    shown = np.stack([one.shown for one in outcomes])
    by_majority = np.stack([one.by_majority for one in outcomes])
    summary = {
        "studies": studies,
        "answers_a_worker": min(one.fewest for one in outcomes),
        "coverage": covered(outcomes),
        "coverage_by_majority": covered(outcomes, by_majority=True),
        "largest_error_of_a_skill": parameter[..., 0].max(),
        "largest_error_of_a_preference_skill_shown": shown[..., 1].max(),
        "largest_error_by_majority": by_majority[..., 0].max(),
        "bias": float(np.mean([one.ours.rate - one.true for one in outcomes])),
        "bias_by_majority": float(np.mean([one.majority.rate - one.true for one in outcomes])),
        "half_width": float(np.mean([(one.ours.high - one.ours.low) / 2 for one in outcomes])),
    }
    print(json.dumps(summary))
    assert summary["answers_a_worker"] >= 600
    assert summary["largest_error_of_a_skill"] <= 0.05
    assert summary["largest_error_of_a_preference_skill_shown"] <= 0.05
    assert 0.93 <= summary["coverage"] <= 0.97


def test_certain_labels_give_the_textbook_interval_of_a_stratified_sample() -> None:
    stratum = ["a"] * 40 + ["b"] * 60
    accepted = np.array([number % 4 != 0 for number in range(40)] + [number % 3 != 0 for number in range(60)])
    design = make_design(stratum, [1_000] * 40 + [400] * 60)
    estimate = rates(np.stack([accepted, accepted]), design, np.ones((100, 1), np.bool_))[0]
    share = {"a": accepted[:40].mean(), "b": accepted[40:].mean()}
    rate = (1_000 * share["a"] + 400 * share["b"]) / 1_400
    parts = [
        (size / 1_400) ** 2 * (1 - n / size) * share[name] * (1 - share[name]) / (n - 1)
        for name, size, n in (("a", 1_000, 40), ("b", 400, 60))
    ]
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 39 + parts[1] ** 2 / 59)
    quantile = stats.t.ppf(0.975, freedom)
    assert 1.98 < quantile < 2.03
    effective = rate * (1 - rate) / sum(parts)
    centre = (rate + quantile**2 / (2 * effective)) / (1 + quantile**2 / effective)
    half = quantile * np.sqrt(rate * (1 - rate) / effective + (quantile / (2 * effective)) ** 2)
    assert estimate.rate == pytest.approx(rate)
    assert (estimate.low + estimate.high) / 2 == pytest.approx(centre)
    assert (estimate.high - estimate.low) / 2 == pytest.approx(half / (1 + quantile**2 / effective))
    assert estimate.label_share == 0


def test_a_census_has_no_doubt_but_that_of_its_labels() -> None:
    design = make_design(["a"] * 50, [50] * 50)
    accepted = np.arange(50) % 2 == 0
    estimate = rates(np.stack([accepted, accepted]), design, np.ones((50, 1), np.bool_))[0]
    assert estimate.rate == 0.5 and estimate.high - estimate.low < 0.3
    doubtful = rates(np.random.default_rng(0).random((50, 50)) < 0.5, design, np.ones((50, 1), np.bool_))[0]
    assert doubtful.label_share == pytest.approx(1)


def test_a_group_without_items_has_no_rate() -> None:
    design = make_design(["a"] * 4, [9] * 4)
    estimate = rates(np.ones((1, 4), np.bool_), design, np.zeros((4, 1), np.bool_))[0]
    assert np.isnan(estimate.rate) and estimate.items == 0


def test_agreement_is_full_when_all_agree_and_none_when_answers_are_chance() -> None:
    assert agreement(_answers(np.random.default_rng(0), right=1.0))["preference"] == pytest.approx(1)
    chance = agreement(_answers(np.random.default_rng(0), right=1 / 3))
    assert abs(chance["preference"]) < 0.05 and set(chance) == {
        "preference", "summary", "stimulus_1", "stimulus_2", "stimulus_3", "assessment", "accepted",
    }  # fmt: skip


def test_one_answer_an_item_is_judged_too() -> None:
    one = judgements(["i", "j"], ["w", "w"], np.array([0, 1]), np.ones((2, 5), np.bool_), np.array([True, False]))
    from validate.study.statistics.consensus import dawid_skene

    drawn = draw_labels(one, dawid_skene(one), np.ones(2), seed=0, draws=4, burn_in=2)
    assert drawn.accepted.shape == (4, 2)
    assert majority(one).accepted.tolist() == [1, 0]


def _answers(random: np.random.Generator, right: float) -> Judgements:
    items, workers = np.repeat(np.arange(400), 4), np.tile(np.arange(4), 400)
    true = random.integers(0, 3, 400)[items]
    wrong = (true + random.integers(1, 3, len(true))) % 3
    choice = np.where(random.random(len(true)) < right, true, wrong)
    return judgements(
        [f"{item:03d}" for item in items], [f"w{worker}" for worker in workers], choice,
        random.random((len(true), 5)) < 0.5, random.random(len(true)) < 0.5,
    )  # fmt: skip
