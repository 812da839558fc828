"""Attention follows the source outside the mask on every layer, and plain attention is untouched."""

from pathlib import Path
from typing import Any

import pytest
import torch

from editor.methods.alignment import Alignment
from editor.methods.attention import Control, ControlledAttention, take_control
from moodarchive.errors import EditError
from tests.editor.small_models import WIDTH, SmallModels

SIDE = 8


@pytest.fixture
def unet(small: SmallModels) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_pretrained(Path(small.base) / "unet").eval()


def _rows(count: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(5)
    return torch.randn(count, 4, SIDE, SIDE, generator=draw), torch.randn(count, 20, WIDTH, generator=draw)


def test_a_processor_sits_on_every_self_and_cross_attention_layer(unet: Any) -> None:
    control = take_control(unet)
    found = unet.attn_processors
    assert {type(processor) for processor in found.values()} == {ControlledAttention}
    assert all(processor.control is control for processor in found.values())
    assert sum(".attn1." in name for name in found) == sum(".attn2." in name for name in found) == len(found) // 2
    assert len(found) == 2 * sum(type(module).__name__ == "BasicTransformerBlock" for module in unet.modules()) == 14


def test_at_rest_the_model_says_what_it_says_with_the_librarys_own_processors(unet: Any) -> None:
    latents, states = _rows()
    with torch.inference_mode():
        expected = unet(latents, 501, encoder_hidden_states=states).sample
        take_control(unet)
        found = unet(latents, 501, encoder_hidden_states=states).sample
    assert torch.allclose(found, expected, atol=1e-5)


def _layers(unet: Any, control: Control) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """For every attention layer its outputs when at rest and when refining, given the same inputs."""
    latents, states = _rows()
    found: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def watch(name: str) -> Any:
        def hook(layer: Any, args: Any, told: Any, output: torch.Tensor) -> None:
            control.refine = False
            rest = layer.processor(layer, *args, **told)
            control.refine = True
            found[name] = rest, output

        return hook

    handles = [
        layer.register_forward_hook(watch(name), with_kwargs=True)
        for name, layer in unet.named_modules()
        if hasattr(layer, "set_processor")
    ]
    control.refine = True
    with torch.inference_mode():
        unet(latents, 501, encoder_hidden_states=states)
    for handle in handles:
        handle.remove()
    return found


def _controlled(unet: Any) -> tuple[Control, dict[int, torch.Tensor]]:
    """Two edits: blocks of sources and targets; other masks at each of the resolutions."""
    control = take_control(unet)
    draw = torch.Generator().manual_seed(2)
    masks = {side**2: (torch.rand(2, side**2, generator=draw) < 0.5).float() for side in (SIDE, SIDE // 2, SIDE // 4)}
    control.batch, control.pairs = 2, ((1, 0),)
    control.weights = {pixels: mask.view(2, 1, pixels, 1) for pixels, mask in masks.items()}
    return control, masks


def test_outside_the_mask_every_layer_gives_the_sources_output_and_inside_the_targets(unet: Any) -> None:
    control, masks = _controlled(unet)
    layers = _layers(unet, control)
    assert len(layers) == 14
    for rest, refined in layers.values():
        inside = masks[refined.shape[1]].bool()
        assert torch.allclose(refined[:2], rest[:2], atol=1e-6)
        assert torch.allclose(refined[2:][inside], rest[2:][inside], atol=1e-6)
        assert torch.allclose(refined[2:][~inside], rest[:2][~inside], atol=1e-6)
        assert not torch.allclose(refined[2:][~inside], rest[2:][~inside], atol=1e-6)


def test_with_a_caption_shared_words_attend_as_in_the_source_inside_the_mask(unet: Any) -> None:
    control, masks = _controlled(unet)
    places = torch.stack([torch.arange(20).flip(0), torch.arange(20)])
    aligned = torch.stack([torch.arange(20) % 3 == 0, torch.zeros(20, dtype=torch.bool)])
    control.alignment = Alignment(indices=places, aligned=aligned)
    layer = unet.mid_block.attentions[0].transformer_blocks[0].attn2
    draw = torch.Generator().manual_seed(9)
    hidden, states = torch.randn(4, 4, 64, generator=draw), torch.randn(4, 20, WIDTH, generator=draw)
    with torch.inference_mode():
        rest = layer(hidden, encoder_hidden_states=states)
        control.refine = True
        found = layer(hidden, encoder_hidden_states=states)
        heads, size = layer.heads, 64 // layer.heads
        outputs = []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            query, key = layer.to_q(hidden)[..., part], layer.to_k(states)[..., part]
            maps = (query @ key.transpose(1, 2) / size**0.5).softmax(-1)
            for token in range(20):
                if aligned[0, token]:
                    maps[2, :, token] = maps[0, :, places[0, token]]
            outputs.append(maps @ layer.to_v(states)[..., part])
        expected = layer.to_out[0](torch.cat(outputs, -1))
    inside = masks[4].bool()
    assert torch.allclose(found[2:][inside], expected[2:][inside], atol=1e-5)
    assert torch.allclose(found[2:][~inside], rest[:2][~inside], atol=1e-5)
    assert torch.allclose(found[3][inside[1]], rest[3][inside[1]], atol=1e-5)  # no caption: the target's own


def test_structure_is_the_sources_queries_and_keys_with_the_targets_values(unet: Any) -> None:
    control, masks = _controlled(unet)
    layer = unet.mid_block.attentions[0].transformer_blocks[0].attn1
    hidden = torch.randn(4, 4, 64, generator=torch.Generator().manual_seed(9))
    with torch.inference_mode():
        rest = layer(hidden)
        control.keep_structure = True
        kept = layer(hidden)
        control.refine = True
        both = layer(hidden)
        size, outputs = 64 // layer.heads, []
        for head in range(layer.heads):
            part = slice(head * size, (head + 1) * size)
            query, key = layer.to_q(hidden)[:2, :, part], layer.to_k(hidden)[:2, :, part]
            maps = (query @ key.transpose(1, 2) / size**0.5).softmax(-1)
            outputs.append(maps @ layer.to_v(hidden)[2:, :, part])
        expected = layer.to_out[0](torch.cat(outputs, -1))
    inside = masks[4].bool()
    assert torch.equal(kept[:2], rest[:2]) and torch.allclose(kept[2:], expected, atol=1e-5)
    assert not torch.allclose(kept[2:], rest[2:], atol=1e-3)
    assert torch.allclose(both[2:][inside], expected[inside], atol=1e-5)
    assert torch.allclose(both[2:][~inside], rest[:2][~inside], atol=1e-5)


def test_cross_attention_is_the_targets_own_while_structure_is_kept(unet: Any) -> None:
    control, _ = _controlled(unet)
    layer = unet.mid_block.attentions[0].transformer_blocks[0].attn2
    draw = torch.Generator().manual_seed(9)
    hidden, states = torch.randn(4, 4, 64, generator=draw), torch.randn(4, 20, WIDTH, generator=draw)
    with torch.inference_mode():
        rest = layer(hidden, encoder_hidden_states=states)
        control.keep_structure = True
        assert torch.equal(layer(hidden, encoder_hidden_states=states), rest)


def test_unets_of_another_kind_of_attention_are_refused() -> None:
    from diffusers.models.attention_processor import Attention

    odd = torch.nn.ModuleDict({"odd": Attention(query_dim=16, heads=2, dim_head=8, residual_connection=True)})
    with pytest.raises(EditError, match=r"layer odd.*SD 1\.5"):
        take_control(odd)
