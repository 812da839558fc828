"""What is read of a vision tower equals what open_clip gives, however little is computed for it."""

from typing import Any

import pytest
import torch
from torch import Tensor

from moodarchive.models.clip_patches import image_alone, image_and_patches
from moodarchive.models.torch_compat import import_torchvision_safely

TOWERS: dict[str, dict[str, Any]] = {
    "class token": {},
    "layer scale": {"ls_init_value": 0.1},
    "one layer": {"layers": 1},
    "normed after pooling": {"final_ln_after_pool": True},
    "mean of the patches": {"pool_type": "avg"},
    "attentional pooling": {"attentional_pool": True, "attn_pooler_heads": 2},
    "another block": {"block_type": "custom", "qk_norm": True},
}


def _tower(given: dict[str, Any], *, saves_memory: bool = False) -> Any:
    import_torchvision_safely()
    from open_clip.transformer import VisionTransformer

    torch.manual_seed(0)
    plain = {
        "image_size": 32,
        "patch_size": 8,
        "width": 48,
        "layers": 3,
        "heads": 2,
        "mlp_ratio": 4.0,
        "output_dim": 16,
    }
    visual = VisionTransformer(**{**plain, **given}).train()
    visual.set_grad_checkpointing(saves_memory)
    return visual


def _gradients(visual: Any, image: Tensor) -> dict[str, Tensor]:
    visual.zero_grad()
    (image * torch.linspace(-1, 1, image.numel()).reshape(image.shape)).sum().backward()
    return {name: p.grad.clone() for name, p in visual.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("given", "saves_memory"),
    [
        pytest.param(given, saves_memory, id=f"{name}, {saves_memory}")
        for name, given in TOWERS.items()
        for saves_memory in (False, True)
        if not (saves_memory and "block_type" in given)  # open_clip's own blocks of that type fail in a checkpoint
    ],
)
def test_the_image_alone_is_the_towers_own_and_so_are_its_gradients(given: dict[str, Any], saves_memory: bool) -> None:
    visual = _tower(given, saves_memory=saves_memory)
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    expected, image = visual(pixels), image_alone(visual, pixels)
    assert image.shape == expected.shape and (image - expected).abs().max() < 1e-5
    of_tower, of_ours = _gradients(visual, expected), _gradients(visual, image)
    assert of_tower.keys() == of_ours.keys()
    for name, gradient in of_tower.items():
        assert (of_ours[name] - gradient).abs().max() <= 1e-5 * max(1.0, float(gradient.abs().max())), name


def test_of_the_last_block_the_class_token_alone_passes_the_mlp() -> None:
    visual, rows = _tower({}), list[int]()
    for block in visual.transformer.resblocks:
        block.mlp.register_forward_hook(lambda module, given, output: rows.append(output.shape[1]))
    pixels = torch.zeros(2, 3, 32, 32)
    image_alone(visual, pixels)
    assert rows == [17, 17, 1]
    rows.clear()
    image_and_patches(visual, pixels)
    assert rows == [17, 17, 17]
