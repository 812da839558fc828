"""A widened UNet predicts what it did, whatever picture it is shown."""

from pathlib import Path

import pytest
import torch

from moodarchive.diffusion.parts import diffusion_library, read_model
from moodarchive.diffusion.widening import widen_unet
from moodarchive.errors import EditError
from tests.editor.small_models import SmallModels


def test_a_widened_unet_is_the_plain_one_for_any_source_picture(small: SmallModels, tmp_path: Path) -> None:
    cls = diffusion_library().UNet2DConditionModel
    plain, wide = (read_model(cls, Path(small.base) / "unet", torch.float32) for _ in range(2))
    widen_unet(wide)
    draw = torch.Generator().manual_seed(0)
    latents, states = torch.randn(2, 4, 8, 8, generator=draw), torch.randn(2, 7, 64, generator=draw)
    condition = {"timestep_cond": torch.zeros(2, 16)}
    with torch.inference_mode():
        expected = plain(latents, 500, encoder_hidden_states=states, **condition).sample
        for scale in (0, 1, 100):
            given = torch.cat([latents, scale * torch.randn(2, 4, 8, 8, generator=draw)], 1)
            assert torch.allclose(
                wide(given, 500, encoder_hidden_states=states, **condition).sample, expected, atol=1e-6
            )
    wide.save_pretrained(tmp_path)
    assert read_model(cls, tmp_path, torch.float32).config.in_channels == 8
    assert widen_unet(wide) is wide
    assert wide.conv_in.in_channels == 8


def test_a_unet_of_other_channels_is_refused(small: SmallModels) -> None:
    unet = read_model(diffusion_library().UNet2DConditionModel, Path(small.base) / "unet", torch.float32)
    unet.register_to_config(in_channels=9)
    with pytest.raises(EditError, match="takes 9 channels; remedy: one of 4"):
        widen_unet(unet)
