"""Prompts reach the model as MoodifyCLIP's own states, 248 of them."""

from pathlib import Path

import pytest
import torch

from editor.edit import EditSettings
from editor.loading import load_method
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
