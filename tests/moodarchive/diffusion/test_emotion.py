"""Direction, emotion encoder and alignment loss, exactly as EmoEditor's paper has them."""

import json
from pathlib import Path

import pytest
import torch

from moodarchive.diffusion.emotion import (
    CONFIG_FILE,
    EmotionEncoder,
    EncoderConfig,
    class_of,
    direction,
    embedding_loss,
    onehot,
    open_encoder,
)
from moodarchive.emotions.taxonomy import EMOTIONS, MIKELS, MIKELS_EIGHT
from moodarchive.errors import EditError


def test_the_direction_sums_to_zero_and_is_zero_where_the_picture_is_the_target_already() -> None:
    distributions = torch.rand(40, 8, generator=torch.Generator().manual_seed(1)).softmax(-1)
    targets = [index % 8 for index in range(40)]
    found = direction(targets, distributions)
    assert found.sum(1).abs().max() < 1e-6
    assert found.equal(torch.eye(8)[targets] - distributions)
    assert direction(range(8), torch.eye(8)).eq(0).all()


def test_the_eight_are_in_alphabetical_order_and_three_emotions_are_refused() -> None:
    assert MIKELS_EIGHT == (
        "amusement", "anger", "awe", "contentment", "disgust", "excitement", "fear", "sadness",
    )  # fmt: skip
    assert [class_of(name) for name in MIKELS_EIGHT] == list(range(8))
    assert MIKELS_EIGHT[class_of("joy")] == "amusement"
    refused = [name for name in EMOTIONS if name not in MIKELS]
    assert refused == ["confusion", "curiosity", "realization"]
    for name in refused:
        with pytest.raises(EditError, match="none of Mikels' eight"):
            class_of(name)


def test_the_papers_encoder_has_its_number_of_weights_and_gives_clips_shape() -> None:
    with torch.device("meta"):
        encoder = EmotionEncoder(EncoderConfig())
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 46_003_456
    assert [layer.out_features for layer in encoder.layers if isinstance(layer, torch.nn.Linear)] == [
        256, 512, 768, 59_136,
    ]  # fmt: skip
    small = EmotionEncoder(EncoderConfig(width=6, tokens=5, hidden=(4,)))
    assert small(torch.zeros(3, 8)).shape == (3, 5, 6)


def test_the_alignment_loss_is_0_for_equal_states_2_for_opposite_ones_and_reaches_no_text() -> None:
    text = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert float(embedding_loss(text, 3 * text.detach())) == pytest.approx(0, abs=1e-6)
    assert float(embedding_loss(text, -text.detach())) == pytest.approx(2, abs=1e-6)
    emotion = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
    embedding_loss(text, emotion).backward()  # type: ignore[no-untyped-call]
    assert text.grad is None and emotion.grad is not None and emotion.grad.abs().sum() > 0
    flat = [1 - torch.cosine_similarity(a.flatten(), b.flatten(), dim=0) for a, b in zip(text, emotion, strict=True)]
    assert float(embedding_loss(text, emotion)) == pytest.approx(float(torch.stack(flat).mean()), abs=1e-6)


def test_a_saved_encoder_is_read_as_it_was_and_another_order_of_classes_is_refused(tmp_path: Path) -> None:
    encoder = EmotionEncoder(EncoderConfig(width=6, tokens=5, hidden=(4,), condition="onehot"))
    encoder.save(tmp_path)
    again = open_encoder(tmp_path)
    assert again.config == encoder.config and again(onehot([3])).equal(encoder(onehot([3])))
    values = json.loads((tmp_path / CONFIG_FILE).read_text())
    values["classes"][0], values["classes"][1] = values["classes"][1], values["classes"][0]
    (tmp_path / CONFIG_FILE).write_text(json.dumps(values))
    with pytest.raises(EditError, match="orders its classes"):
        open_encoder(tmp_path)
    (tmp_path / CONFIG_FILE).write_text("{")
    with pytest.raises(EditError, match="cannot be read"):
        open_encoder(tmp_path)
