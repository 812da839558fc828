"""The loop ends at the first edit that meets both rules, else gives the best accepted; what is refused is not fed."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from editor.edit import IeiSettings
from editor.job import settings_with
from editor.methods.iei import Outcome, edit_iteratively
from moodarchive.errors import EditError

TARGET = 2
SURE, NAMED, UNSURE = 0.9, 0.5, 0.1
"""Probabilities of the target: sure of it, naming it all the same, and naming another."""
NEAR, FAR, SAME = 0.6, 0.2, 0.95
"""Likenesses: in the band of 0.5 to 0.8, below, above."""


@dataclass
class Stub:
    """A pass that gives prepared edits, known by the value of their pixels: (probability, likeness) of each round."""

    rounds: Sequence[tuple[float, float]]
    fed: list[int] = field(default_factory=list)
    directions: list[Tensor] = field(default_factory=list)

    def one_pass(self, rows: Sequence[int], fed: Tensor, directions: Tensor) -> Tensor:
        self.fed.append(int(fed[0, 0, 0, 0]))
        self.directions.append(directions[0])
        return torch.full((1, 2, 2, 3), len(self.fed), dtype=torch.uint8)

    def predict(self, pixels: Tensor) -> Tensor:
        return torch.stack([self._distribution(int(each[0, 0, 0])) for each in pixels])

    def _distribution(self, number: int) -> Tensor:
        sure = self.rounds[number - 1][0] if number else 0.0
        distribution = torch.zeros(8)
        distribution[TARGET], distribution[0] = sure, 1 - sure
        return distribution

    def run(self, **rules: float) -> Outcome:
        (outcome,) = edit_iteratively(
            torch.zeros(1, 2, 2, 3, dtype=torch.uint8),
            [TARGET],
            one_pass=self.one_pass,
            predict=self.predict,
            rules=IeiSettings(**rules),  # type: ignore[arg-type]
            similarity=lambda source, edit: self.rounds[int(edit[0, 0, 0]) - 1][1],
        )
        return outcome


def _number(outcome: Outcome) -> int:
    return int(outcome.pixels[0, 0, 0])


def test_the_first_edit_that_meets_both_rules_is_returned_though_an_earlier_one_was_surer() -> None:
    stub = Stub([(UNSURE, NEAR), (0.99, FAR), (0.7, NEAR), (0.99, NEAR)])
    outcome = stub.run()
    assert (_number(outcome), outcome.reason, outcome.rounds, outcome.changed) == (3, "both", 3, True)
    assert outcome.probability == pytest.approx(0.7)


def test_what_is_sure_and_near_at_once_takes_one_round() -> None:
    stub = Stub([(SURE, NEAR)] * 5)
    assert (stub.run().rounds, stub.fed) == (1, [0])


def test_what_is_never_sure_takes_all_rounds_and_gives_the_accepted_edit_of_the_highest_probability() -> None:
    stub = Stub([(0.2, NEAR), (0.55, NEAR), (0.3, NEAR), (0.4, FAR)])
    outcome = stub.run(rounds=4)
    assert (_number(outcome), outcome.reason, outcome.rounds) == (2, "rounds", 4)


def test_a_refused_edit_is_never_fed_back_and_never_returned() -> None:
    stub = Stub([(UNSURE, NEAR), (UNSURE, FAR), (UNSURE, SAME), (0.3, NEAR), (UNSURE, FAR)])
    outcome = stub.run(rounds=5)
    assert stub.fed == [0, 1, 1, 1, 4]
    assert _number(outcome) == 4
    # the direction is that of what is fed back: the source's, then the accepted edits'
    sure = [float(1 - each[TARGET]) for each in stub.directions]
    assert sure == pytest.approx([0.0, UNSURE, UNSURE, UNSURE, 0.3])
    assert torch.stack(stub.directions).sum(1).abs().max() < 1e-6


def test_where_no_round_is_accepted_the_source_comes_back_unchanged() -> None:
    outcome = Stub([(UNSURE, FAR)] * 3).run(rounds=3)
    assert (_number(outcome), outcome.changed, outcome.reason, outcome.rounds) == (0, False, "rounds", 3)


def test_the_code_accepts_what_is_named_outside_the_band_and_the_paper_does_not() -> None:
    rounds = [(NAMED + 0.01, FAR), (NAMED + 0.2, FAR), (UNSURE, NEAR)]
    assert (_number(Stub(rounds).run(rounds=3)), _number(Stub(rounds).run(rounds=3, strict=True))) == (2, 0)
    strict = Stub([*rounds, (SURE, NEAR)])
    assert (_number(strict.run(strict=True)), strict.fed) == (4, [0, 0, 0, 0])


def test_a_single_round_gives_what_one_pass_gives() -> None:
    outcome = Stub([(UNSURE, FAR)]).run(rounds=1)
    assert (_number(outcome), outcome.changed, outcome.rounds) == (1, True, 1)


def test_rows_that_are_done_leave_the_batch_and_a_stop_says_so() -> None:
    batches: list[list[int]] = []

    def one_pass(rows: Sequence[int], fed: Tensor, directions: Tensor) -> Tensor:
        batches.append(list(rows))
        return fed + 1

    def predict(pixels: Tensor) -> Tensor:  # row n is sure after n + 1 rounds
        sure = torch.tensor([1.0 if int(each[0, 0, 1]) == 0 and int(each[0, 0, 0]) else 0.0 for each in pixels])
        return torch.nn.functional.one_hot((sure * TARGET).long(), 8).float()

    sources = torch.zeros(3, 1, 1, 3, dtype=torch.uint8)
    sources[:, 0, 0, 1] = torch.tensor([255, 254, 253], dtype=torch.uint8)  # wraps to 0 after 1, 2, 3 rounds
    outcomes = edit_iteratively(
        sources, [TARGET] * 3, one_pass=one_pass, predict=predict, rules=IeiSettings(), similarity=lambda a, b: NEAR
    )
    assert batches == [[0, 1, 2], [1, 2], [2]]
    assert [outcome.rounds for outcome in outcomes] == [1, 2, 3]
    asked: list[int] = []
    stopped = edit_iteratively(
        sources, [TARGET] * 3, one_pass=one_pass, predict=predict, rules=IeiSettings(),
        similarity=lambda a, b: NEAR, stopped=lambda: bool(asked.append(1)) or len(asked) > 1,
    )  # fmt: skip
    assert [outcome.reason for outcome in stopped] == ["both", "stopped", "stopped"]


def test_rules_that_contradict_themselves_are_refused() -> None:
    for given in ({"ssim_low": 0.9}, {"start_low": 990}):
        with pytest.raises(EditError, match="must"):
            settings_with("emoeditor", **given)
    assert settings_with("emoeditor", rounds=3, steps=7).iei.rounds == 3
