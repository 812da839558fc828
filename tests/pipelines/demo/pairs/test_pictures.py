"""Paired drawings as a diffusion model's pictures."""

import random

from pipelines.demo.pairs.drawing import PAIRED_EMOTIONS
from pipelines.demo.pairs.pictures import PER_PLACE, DrawnPictures


def test_words_are_known_before_anything_is_drawn_and_are_of_the_picture() -> None:
    pictures = DrawnPictures(first_seed=0, places=2, size=32)
    prompts = [{pictures.prompt(row, random.Random(draw)) for draw in range(40)} for row in range(PER_PLACE)]
    assert "_drawn" not in vars(pictures)
    for emotion, forms in zip(PAIRED_EMOTIONS, prompts[: len(PAIRED_EMOTIONS)], strict=True):
        assert f"A photo that evokes {emotion}." in forms
        assert len(forms) > 5
    contents = {min(forms, key=len) for forms in prompts}
    assert len(contents) <= len(PAIRED_EMOTIONS) + 3  # the bare place, or the bare emotion


def test_several_processes_draw_what_one_does() -> None:
    one, two = (DrawnPictures(first_seed=3, places=1, size=32, processes=count) for count in (1, 2))
    rows = range(len(one))
    assert len(one) == 3 * PER_PLACE and one.pixels(rows).shape == (len(one), 3, 32, 32)
    assert one.pixels(rows).equal(two.pixels(rows))
