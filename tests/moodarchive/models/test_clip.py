"""Pictures are embedded in batches that fit into memory, whatever was asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moodarchive.models.clip import ClipEncoder
from tests.making import textured

CHECKPOINT = Path(__file__).parents[3] / "pipelines" / "demo" / "checkpoint"


class _SmallMemory:
    """The tower on a device that holds so many pictures at once."""

    def __init__(self, encode: Any, holds: int) -> None:
        self.encode, self.holds = encode, holds
        self.asked: list[int] = []

    def __call__(self, pixels: torch.Tensor, **options: Any) -> torch.Tensor:
        self.asked.append(len(pixels))
        if len(pixels) > self.holds:
            raise torch.OutOfMemoryError(f"{len(pixels)} pictures, room for {self.holds}")
        found: torch.Tensor = self.encode(pixels, **options)
        return found


def _encoder(monkeypatch: pytest.MonkeyPatch, holds: int) -> tuple[ClipEncoder, _SmallMemory]:
    encoder = ClipEncoder(model=f"local-dir:{CHECKPOINT}")
    model = encoder._loaded[0]
    memory = _SmallMemory(model.encode_image, holds)
    monkeypatch.setattr(model, "encode_image", memory)
    return encoder, memory


def test_a_batch_that_memory_refuses_is_halved_until_it_fits_and_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [textured(seed=seed) for seed in range(11)]
    whole, _ = _encoder(monkeypatch, 11)
    expected = whole.images(pictures)
    encoder, memory = _encoder(monkeypatch, 3)
    np.testing.assert_allclose(encoder.images(pictures), expected, atol=1e-6)
    assert memory.asked == [11, 5, 2, 2, 2, 2, 2, 1]
    encoder.images(pictures[:4])
    assert memory.asked[8:] == [2, 2], "what did not fit once is not tried again"


def test_a_picture_for_which_there_is_no_memory_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, memory = _encoder(monkeypatch, 0)
    with pytest.raises(torch.OutOfMemoryError, match="1 pictures, room for 0"):
        encoder.images([textured(seed=1), textured(seed=2)])
    assert memory.asked == [2, 1]
