"""PER at its start is the frozen model to the bit, and nothing but what is new can move it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from moodarchive.diffusion.interaction import Interaction, sines
from moodarchive.diffusion.parts import read_model
from moodarchive.diffusion.queries import InstructionReader
from moodarchive.diffusion.retaining import (
    Retaining,
    RetainingConfig,
    attention_widths,
    make_retaining,
    open_retaining,
    predict_noise,
)
from moodarchive.diffusion.vision import open_picture_encoder, read_json
from moodarchive.errors import EditError
from tests.editor.small_models import WIDTH, SmallModels
from tests.moodarchive.diffusion.small_epem import QUERIES, small_blip2


@pytest.fixture(scope="module")
def blip2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_blip2(tmp_path_factory.mktemp("epem") / "blip2")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _unet(small: SmallModels) -> Any:
    from diffusers import UNet2DConditionModel

    return read_model(UNet2DConditionModel, Path(small.base) / "unet", torch.float32)


def _retaining(unet: Any, blip2: Path, **given: Any) -> Retaining:
    config = RetainingConfig(
        qformer=RetainingConfig.qformer_of(read_json(blip2 / "config.json")["qformer_config"]),
        queries=QUERIES, instruction_tokens=16, input_width=unet.conv_in.out_channels, text_width=WIDTH,
        attention=attention_widths(unet), heads=2, hidden=32, **given,
    )  # fmt: skip
    return make_retaining(config, seed=1)


def _inputs(blip2: Path, rows: int, seed: int = 0) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(seed)
    reader = InstructionReader(blip2 / "qformer_tokenizer", 16)
    vision = open_picture_encoder(blip2, torch.device("cpu"), torch.float32)
    pixels = torch.randint(0, 256, (rows, 3, 32, 32), generator=draw, dtype=torch.uint8)
    return {
        "seen": vision(pixels),
        "image": torch.randn(rows, 4, 8, 8, generator=draw),
        "words": reader(
            [f"Please change the emotion of this image from anger to {n}." for n in ("awe", "fear")][:rows]
        ),
        "text": torch.randn(rows, 77, WIDTH, generator=draw),
    }


def _noise(unet: Any, retaining: Retaining, given: dict[str, Any], noisy: Tensor, times: Tensor) -> Tensor:
    return predict_noise(unet, noisy, given["image"], times, retaining(**given))


def test_at_its_start_it_is_the_frozen_model_under_the_text_alone_to_the_bit(small: SmallModels, blip2: Path) -> None:
    plain, unet = _unet(small), _unet(small)
    retaining = _retaining(unet, blip2)
    retaining.attach(unet)
    noisy, times = torch.randn(2, 4, 8, 8), torch.tensor([3, 800])
    for seed in (0, 1):  # whatever o, q and v are
        given = _inputs(blip2, 2, seed)
        with torch.no_grad():
            expected = plain(noisy, times, encoder_hidden_states=given["text"]).sample
            assert _noise(unet, retaining, given, noisy, times).equal(expected)
    optimiser = torch.optim.SGD(retaining.parameters(), 1.0)
    _noise(unet, retaining, given, noisy, times).square().mean().backward()
    optimiser.step()
    after = _noise(unet, retaining, given, noisy, times)
    assert not after.equal(expected)
    old = _unet(small).state_dict()
    own = {name.replace("conv_in.old.", "conv_in."): tensor for name, tensor in unet.state_dict().items()}
    assert all(own[name].equal(tensor) for name, tensor in old.items())
    # a row that keeps neither words nor picture goes as the frozen model but for the widened input
    with torch.no_grad():
        retaining.image_input.weight.zero_()
        bare = predict_noise(unet, noisy, given["image"], times, retaining(**given, kept=torch.zeros(2)))
    assert bare.equal(expected)


def test_a_new_eai_block_is_the_row_without_it_to_the_bit_and_learns_from_there() -> None:
    block = Interaction(16, 2, 32)
    draw = torch.Generator().manual_seed(0)
    queries, image = torch.randn(2, 4, 16, generator=draw), torch.randn(2, 9, 16, generator=draw)
    after_queries, after_image = block(queries, image)
    assert after_queries.equal(queries) and after_image.equal(image)
    optimiser = torch.optim.SGD(block.parameters(), 0.1)
    for _ in range(2):  # the first step moves the last layers, the second what lies before them
        before = {name: parameter.detach().clone() for name, parameter in block.named_parameters()}
        optimiser.zero_grad()
        sum((each - 1).square().mean() for each in block(queries, image)).backward()
        optimiser.step()
    unmoved = [name for name, parameter in block.named_parameters() if parameter.equal(before[name])]
    assert [name for name in unmoved if not name.endswith("key.bias")] == []  # softmax takes out what all keys share
    after_queries, after_image = block(queries, image)
    assert not after_queries.equal(queries) and not after_image.equal(image)


@pytest.mark.parametrize("eai", [True, False])
def test_saved_and_opened_it_has_the_same_bits_and_a_batch_equals_singles(
    small: SmallModels, blip2: Path, tmp_path: Path, eai: bool
) -> None:
    unet = _unet(small)
    retaining = _retaining(unet, blip2, eai=eai).eval()
    with torch.no_grad():
        for parameter in retaining.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
        retaining.attach(unet)
        given, noisy, times = _inputs(blip2, 2), torch.randn(2, 4, 8, 8), torch.tensor([3, 800])
        together = _noise(unet, retaining, given, noisy, times)
        retaining.save(tmp_path)
        again = open_retaining(tmp_path)
        assert again.config == retaining.config and again.config.eai == eai
        other = again.attach(_unet(small))
        assert _noise(other, again, given, noisy, times).equal(together)
        for row in range(2):
            one = {
                name: type(value)(*(each[row : row + 1] for each in value)) if name == "words" else value[row : row + 1]
                for name, value in given.items()
            }
            alone = _noise(unet, retaining, one, noisy[row : row + 1], times[row : row + 1])
            assert alone.allclose(together[row : row + 1], atol=1e-5)


def test_queries_read_the_instruction_and_not_its_padding(small: SmallModels, blip2: Path) -> None:
    retaining = _retaining(_unet(small), blip2).eval()
    given = _inputs(blip2, 2)
    with torch.no_grad():
        for parameter in retaining.qformer.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
        seen = given["seen"][:1].expand(2, -1, -1)
        first, second = retaining.qformer(given["words"], seen)
        assert not first.equal(second)
        ids, mask = given["words"]
        padded = ids.clone()
        padded[mask == 0] = 5
        assert retaining.qformer(type(given["words"])(padded, mask), seen)[0].equal(first)


def test_a_base_of_another_width_is_told(small: SmallModels, blip2: Path) -> None:
    from diffusers import UNet2DConditionModel

    retaining = _retaining(_unet(small), blip2)
    shapes = {**read_json(Path(small.base) / "unet/config.json"), "block_out_channels": (16, 32, 32)}
    with pytest.raises(EditError, match=r"cross-attentions have widths .*; remedy: the base that it was trained on"):
        retaining.attach(UNet2DConditionModel.from_config(shapes))


def test_a_place_has_its_own_sines() -> None:
    table = sines(3, 5, 16)
    assert table.shape == (15, 16) and len({tuple(row) for row in table.tolist()}) == 15
    assert table[0, 4:8].equal(torch.ones(4)) and table[7, :8].equal(sines(2, 1, 16)[1, :8])
