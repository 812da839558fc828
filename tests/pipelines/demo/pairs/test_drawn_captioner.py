"""A captioner of random weights learns to see what is drawn, and then to say it."""

from pathlib import Path

import pytest
import torch

from moodarchive.language_edit.captioner import Captioner, open_captioner
from pipelines.demo.pairs.captions import drawn_caption
from pipelines.demo.pairs.drawing import PAIRED_EMOTIONS
from pipelines.demo.pairs.drawn_captioner import (
    CaptionerShape,
    DrawnCaption,
    draw_captioned,
    make_captioner,
    teach_captioner,
    teach_sight,
)

SHAPE = CaptionerShape(
    side=32, patch=8, vision_width=32, vision_layers=1, queries=4, query_width=32, query_layers=1, width=32, layers=3
)


@pytest.fixture(scope="module")
def drawn() -> list[DrawnCaption]:
    return draw_captioned(0, 1, SHAPE.side, PAIRED_EMOTIONS[:3])


def _taught(folder: Path, drawn: list[DrawnCaption], *, steps: int) -> tuple[Captioner, dict[str, list[float]]]:
    make_captioner(folder, SHAPE, seed=1)
    captioner = open_captioner(folder)
    losses: dict[str, list[float]] = {"sight": [], "words": []}
    batch = {"batch": 9, "seed": 1, "rate": 3e-3}
    teach_sight(captioner, drawn, steps=2 * steps, tell=lambda _, loss: losses["sight"].append(loss), **batch)
    teach_captioner(captioner, drawn, steps=steps, tell=lambda _, loss: losses["words"].append(loss), **batch)
    return captioner, losses


def test_it_learns_to_see_and_then_to_speak(tmp_path: Path, drawn: list[DrawnCaption]) -> None:
    captioner, losses = _taught(tmp_path, drawn, steps=60)
    assert losses["sight"][-1] < _blind_loss(drawn), "it knows no more than how often each word is true"
    assert losses["words"][-1] < 0.5 * losses["words"][0]
    assert not any(weight.requires_grad for weight in captioner.model.parameters())


def _blind_loss(drawn: list[DrawnCaption]) -> float:
    """The least that one head's loss can be without looking."""
    words = [{*drawn_caption(one.kind, one.place, one.emotion).split()} for one in drawn]
    shares = torch.tensor([sum(word in of for of in words) / len(words) for word in set().union(*words)])
    return float(torch.special.entr(torch.stack([shares, 1 - shares])).sum(0).mean())


def test_the_same_seed_teaches_the_same(tmp_path: Path, drawn: list[DrawnCaption]) -> None:
    (first, _), (again, _) = (_taught(tmp_path / name, drawn, steps=2) for name in ("first", "again"))
    for name, weight in first.model.state_dict().items():
        assert torch.equal(weight, again.model.state_dict()[name]), name


def test_a_new_one_s_vit_tells_pictures_apart(tmp_path: Path, drawn: list[DrawnCaption]) -> None:
    make_captioner(tmp_path, SHAPE)
    captioner = open_captioner(tmp_path)
    one, other = captioner.see([drawn[0].image, drawn[-1].image])
    # as transformers begins it, every picture looks the same to it
    assert (one - other).abs().max() > 0.01
