"""The predictor is kept as transformers keeps it, and its temperature is that of the held-out rows."""

import json
from pathlib import Path

import pytest
import torch

from moodarchive.diffusion.predictor import EmotionPredictor, fit_temperature, make_predictor, open_predictor
from moodarchive.errors import EditError
from tests.moodarchive.diffusion.small_emoeditor import PREDICTOR


@pytest.fixture(scope="module")
def predictor() -> EmotionPredictor:
    return make_predictor(PREDICTOR, seed=1)


def test_a_saved_predictor_is_read_as_it_was_and_by_transformers_alone(
    predictor: EmotionPredictor, tmp_path: Path
) -> None:
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    predictor.temperature = 1.7
    predictor.save(tmp_path)
    again = open_predictor(tmp_path)
    assert (again.side, again.temperature) == (32, 1.7)
    pixels = torch.rand(3, 3, 40, 24, generator=torch.Generator().manual_seed(0))
    found = again.probabilities(pixels)
    assert found.equal(predictor.probabilities(pixels))
    assert found.sum(1).allclose(torch.ones(3))
    network = AutoModelForImageClassification.from_pretrained(tmp_path)
    assert network(pixel_values=pixels[:, :, :24]).logits.shape == (3, 8)
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    white = processor(images=[torch.full((3, 32, 32), 255, dtype=torch.uint8)], return_tensors="pt")["pixel_values"]
    assert white.shape == (1, 3, 32, 32) and white.eq(1).all()


def test_pictures_are_squashed_and_alone_or_among_others_mean_the_same(predictor: EmotionPredictor) -> None:
    pixels = torch.rand(5, 3, 64, 48, generator=torch.Generator().manual_seed(2))
    together = predictor.logits(pixels)
    alone = torch.cat([predictor.logits(one[None]) for one in pixels])
    assert together.allclose(alone, atol=1e-5)
    small = torch.nn.functional.interpolate(pixels, (32, 32), mode="bilinear", antialias=True)
    assert predictor.logits(small).allclose(together, atol=1e-6)


def test_the_temperature_has_the_least_loss_and_is_that_by_which_logits_were_sharpened() -> None:
    draw = torch.Generator().manual_seed(3)
    logits = torch.randn(4000, 8, generator=draw) * 2
    classes = torch.multinomial(logits.softmax(-1), 1, generator=draw)[:, 0]  # calibrated as they are
    assert fit_temperature(logits, classes) == pytest.approx(1, abs=0.06)
    assert fit_temperature(logits * 3, classes) == pytest.approx(3 * fit_temperature(logits, classes), rel=1e-3)


def test_rows_that_are_all_right_ask_for_no_endless_confidence() -> None:
    classes = torch.arange(400) % 8
    logits = torch.nn.functional.one_hot(classes, 8).float()
    sure = (logits / fit_temperature(logits, classes)).softmax(-1).amax(1)
    assert float(sure.mean()) == pytest.approx(400 / 401, abs=2e-3)


def test_a_folder_that_is_no_predictor_is_refused(predictor: EmotionPredictor, tmp_path: Path) -> None:
    with pytest.raises(EditError, match="cannot be read as an emotion predictor"):
        open_predictor(tmp_path)
    predictor.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for change, message in (
        ({"id2label": {str(n): f"LABEL_{n}" for n in range(8)}}, "tells label_0"),
        ({"emotion_temperature": 0.0}, "temperature of 0.0"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(EditError, match=message):
            open_predictor(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    preprocessor = json.loads((tmp_path / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessor | {"do_normalize": True}))
    with pytest.raises(EditError, match="normalised"):
        open_predictor(tmp_path)
