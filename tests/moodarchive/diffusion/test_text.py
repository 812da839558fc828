"""Prompts reach the model as MoodifyCLIP's own states, 248 of them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from editor.edit import EditSettings
from editor.loading import load_method
from editor.weights import moodify_folder, own_tokenizer
from moodarchive.diffusion.text import TextTower
from moodarchive.errors import EditError
from tests.editor.small_models import WIDTH, SmallModels

LONG = " ".join(["A girl runs through the wet grass and laughs, her arms wide open."] * 20)


def _tower(folder: str | Path) -> TextTower:
    return TextTower(model=Path(folder), tokenizer=Path(folder), device=torch.device("cpu"), dtype=torch.float32)


def test_states_are_the_trained_towers_after_its_final_norm_without_projection(small: SmallModels) -> None:
    import open_clip

    tower = _tower(f"{small.moodify}/hub")
    tokens = tower.tokens(["a joyful child", LONG, ""])
    found = tower.states(tower.ids(tokens))
    assert found.shape == (3, 248, WIDTH)
    clip, _ = open_clip.create_model_from_pretrained(f"local-dir:{small.moodify}", precision="fp32")
    with torch.inference_mode():
        embedded = clip.token_embedding(torch.tensor(tokens)) + clip.positional_embedding
        expected = clip.ln_final(clip.transformer(embedded, attn_mask=clip.attn_mask))
    assert torch.allclose(found, expected, atol=1e-5)


def test_texts_are_padded_with_end_of_text_and_the_empty_one_alike(small: SmallModels) -> None:
    tower = _tower(f"{small.moodify}/hub")
    short, long, empty = tower.tokens(["a joyful child", LONG, ""])
    assert {len(short), len(long), len(empty)} == {248}
    assert empty == [49406] + [49407] * 247
    assert short[4:] == [49407] * 244
    assert long[-1] == 49407
    assert 49407 not in long[:-1]  # cut, with its mark kept


def _published(folder: Path, positions: int, *, whole: bool, res: str = "", said: int | None = None) -> Tensor:
    """Weights as the hub has them, and the positions that they mean; ``res`` names a second table."""
    from safetensors.torch import load_file, save_file
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel

    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**sizes, "max_position_embeddings": positions, "vocab_size": 49408}
    torch.manual_seed(3)
    model: Any = (
        CLIPModel(CLIPConfig(text_config=text, vision_config={**sizes, "image_size": 16, "patch_size": 8}))
        if whole
        else CLIPTextModel(CLIPTextConfig(**text))
    )
    model.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    (name,) = [name for name in weights if "vision" not in name and name.endswith("position_embedding.weight")]
    table = weights[name]
    if res:
        weights[name.replace("position_embedding", res)] = other = torch.randn(positions, 16)
        table = torch.cat([table[:20], other[20:]])
        save_file(weights, folder / "model.safetensors")
    if said:
        file = folder / "config.json"
        config = json.loads(file.read_text())
        (config["text_config"] if whole else config)["max_position_embeddings"] = said
        file.write_text(json.dumps(config))
    return table


@pytest.mark.parametrize(
    ("positions", "whole", "res", "said"),
    [
        (77, True, "", None),
        (248, False, "", None),
        (248, True, "", 77),
        (248, True, "position_embedding_res", None),
        (248, False, "position_embedding_res", 77),
    ],
)
def test_published_weights_are_read_with_the_positions_that_they_have(
    tmp_path: Path, positions: int, whole: bool, res: str, said: int | None
) -> None:
    table = _published(tmp_path, positions, whole=whole, res=res, said=said)
    tower = TextTower(
        model=moodify_folder(str(tmp_path)), tokenizer=None, device=torch.device("cpu"), dtype=torch.float32
    )
    assert tower.context == positions
    (found,) = [p for name, p in tower._model.named_parameters() if name.endswith("position_embedding.weight")]
    assert torch.equal(found, table)
    states = tower.states(tower.ids(tower.tokens(["a joyful child", LONG, ""])))
    assert states.shape == (3, positions, 16) and torch.isfinite(states).all()


def test_without_a_tokenizer_clips_own_is_taken_and_one_beside_the_weights_goes_before_it(
    small: SmallModels, tmp_path: Path
) -> None:
    _published(tmp_path, 77, whole=True)
    hub = Path(small.moodify) / "hub"
    assert own_tokenizer(tmp_path) is None and own_tokenizer(hub) == hub
    bare = TextTower(model=tmp_path, tokenizer=None, device=torch.device("cpu"), dtype=torch.float32)
    texts = ["A joyful child, 3 balloons & café lights!", LONG, ""]
    assert bare.tokens(texts) == [
        [*row[:76], 49407] if row[76] != 49407 else row[:77] for row in _tower(hub).tokens(texts)
    ]


def test_padding_may_be_token_0_and_the_text_itself_is_alike(small: SmallModels) -> None:
    hub = Path(f"{small.moodify}/hub")
    towers: list[TextTower] = [
        TextTower(model=hub, tokenizer=hub, device=torch.device("cpu"), dtype=torch.float32, padding=padding)
        for padding in ("end", "zero")
    ]
    end, zero = (tower.tokens(["a joyful child", ""]) for tower in towers)
    assert zero[0] == [*end[0][:5], *[0] * 243] and zero[1] == [49406, 49407, *[0] * 246]
    states = [tower.states(tower.ids(tokens)) for tower, tokens in zip(towers, (end, zero), strict=True)]
    assert torch.equal(states[0][0, :5], states[1][0, :5]) and not torch.allclose(states[0][0, 6:], states[1][0, 6:])
    method = load_method("moodifier", small.base, small.moodify, EditSettings(size=64, padding="zero"))
    assert method._text.tokens(["a joyful child"]) == zero[:1]  # type: ignore[attr-defined]


def test_the_bases_own_clip_reads_77_tokens(small: SmallModels) -> None:
    base = Path(small.base)
    tower = TextTower(
        model=base / "text_encoder", tokenizer=base / "tokenizer", device=torch.device("cpu"), dtype=torch.float32
    )
    assert tower.states(tower.ids(tower.tokens([LONG, ""]))).shape == (2, 77, WIDTH)


def test_a_tower_of_another_width_is_refused_with_the_reason(small: SmallModels) -> None:
    with pytest.raises(EditError, match=r"width 96.*takes 64.*ViT-L-14, not ViT-B-16.*text_encoder = clip"):
        load_method("moodifier", small.base, small.other_width, EditSettings(size=64))


def test_a_damaged_tower_is_named(small: SmallModels, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(f"{small.moodify}/hub", tmp_path / "hub")
    whole = (tmp_path / "hub" / "model.safetensors").read_bytes()
    (tmp_path / "hub" / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EditError, match="cannot be read"):
        load_method("moodifier", small.base, str(tmp_path), EditSettings(size=64))
