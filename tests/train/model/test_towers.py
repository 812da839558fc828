"""What cannot be trained is refused before anything is downloaded, and positions of a file are taken as they are."""

from pathlib import Path
from typing import Any

import pytest
import torch

from moodarchive.errors import ConfigError
from moodarchive.models.clip import ClipEncoder
from moodarchive.models.torch_compat import import_torchvision_safely
from train.model.towers import open_towers, require_supported
from train.settings import ModelSettings, TrainSettings

import_torchvision_safely()


@pytest.fixture
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    import open_clip

    def fail(*given: Any, **named: Any) -> Any:
        raise AssertionError("a model was made or asked for")

    monkeypatch.setattr(open_clip, "create_model_and_transforms", fail)


@pytest.mark.usefixtures("no_download")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("EVA02-B-16", "keeps its text tower apart"),
        ("MobileCLIP-S1", "keeps its text tower apart"),
        ("ViT-B-16-SigLIP", "keeps its text tower apart"),
        ("coca_ViT-B-32", "keeps its text tower apart"),
        ("roberta-ViT-B-32", "keeps its text tower apart"),
        ("nllb-clip-base", "keeps its text tower apart"),
        ("convnext_base", r"has a vision tower of timm \(convnext_base\)"),
        ("vit_medium_patch16_gap_256", "has a vision tower of timm"),
    ],
)
def test_towers_of_another_kind_are_refused_before_anything_is_downloaded(name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"model.name = '{name}' {reason}.*which cannot be trained.*remedy: name"):
        open_towers(ModelSettings(name=name, pretrained=""))


def test_every_architecture_of_open_clip_is_either_refused_or_of_our_kind() -> None:
    """Of open_clip's own list: what passes has open_clip's CLIP class, and nothing of timm or transformers."""
    import open_clip

    passed = []
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        try:
            require_supported(name, config)
        except ConfigError:
            continue
        passed.append(name)
        assert "timm" not in str(config) and "hf_" not in str(config) and "custom_text" not in config, name
    assert {"ViT-B-16-quickgelu", "ViT-L-14-quickgelu", "RN50", "ViT-S-32-alt", "ViT-B-32", "ViT-H-14"} <= set(passed)


@pytest.mark.usefixtures("no_download")
@pytest.mark.parametrize(
    ("name", "pretrained", "remedy"),
    [
        ("ViT-B-16", "openai", "ViT-B-16-quickgelu"),
        ("ViT-L-14", "openai", "ViT-L-14-quickgelu"),
        ("RN50", "openai", "RN50-quickgelu"),
    ],
)
def test_weights_of_another_activation_are_refused_with_the_name_that_has_it(
    name: str, pretrained: str, remedy: str
) -> None:
    for load in (
        lambda: open_towers(ModelSettings(name=name, pretrained=pretrained)),
        lambda: ClipEncoder(model=name, pretrained=pretrained).texts(["joy"]),
    ):
        with pytest.raises(ConfigError, match=rf"'{name}' has another activation.*remedy: '{remedy}'"):
            load()


@pytest.mark.parametrize("ending", [".safetensors", ".pt"])
@pytest.mark.parametrize("rows", [77, 100, 248])
def test_a_file_of_weights_is_loaded_at_its_own_length(ending: str, rows: int, tmp_path: Path) -> None:
    import open_clip
    from safetensors.torch import save_file

    weights = open_clip.create_model("ViT-S-32-alt").state_dict()
    weights["positional_embedding"] = torch.randn(rows, weights["positional_embedding"].shape[1])
    path = tmp_path / f"weights{ending}"
    if ending == ".pt":
        torch.save({"state_dict": weights}, path)
    else:
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
    towers = open_towers(ModelSettings(name="ViT-S-32-alt", pretrained=str(path)))
    table = towers.clip.positional_embedding
    assert towers.context == len(table) == (248 if rows == 77 else rows)
    kept = 20 if rows == 77 else rows  # a table of 77 is stretched behind its first 20 rows
    assert torch.equal(table[:kept], weights["positional_embedding"][:kept])


def test_a_second_table_of_positions_is_named(tmp_path: Path) -> None:
    import open_clip

    weights = open_clip.create_model("ViT-S-32-alt").state_dict()
    weights["positional_embedding_res"] = torch.zeros(248, 256)
    torch.save(weights, tmp_path / "weights.pt")
    with pytest.raises(ConfigError, match="positional_embedding_res"):
        open_towers(ModelSettings(name="ViT-S-32-alt", pretrained=str(tmp_path / "weights.pt")))


def test_l_14_at_336_pixels_has_576_patches_and_the_text_tower_of_l_14() -> None:
    import_torchvision_safely()
    import open_clip

    from moodarchive.models.clip_patches import image_and_patches
    from moodarchive.settings import load

    settings = load(TrainSettings, Path("configs/train/vit-l-14-336.toml").read_text(), "vit-l-14-336.toml")
    config = dict(open_clip.get_model_config(settings.model.name) or {})
    require_supported(settings.model.name, config)
    with torch.device("meta"):
        clip = open_clip.CLIP(**config)
        image, patches = image_and_patches(clip.visual, torch.empty(2, 3, 336, 336))
    assert image.shape == (2, 768) and patches.shape == (2, 576, 768)
    assert config["text_cfg"] == (open_clip.get_model_config("ViT-L-14-quickgelu") or {})["text_cfg"]
