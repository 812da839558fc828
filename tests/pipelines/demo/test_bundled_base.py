"""`--base demo`: the shipped model with the small CLIP's text side."""

from pathlib import Path

import pytest
from PIL import Image

from editor.edit import Edit, default_settings
from editor.loading import load_method
from editor.tools import Tools
from moodarchive.errors import EditError, MissingWeightsError
from pipelines.demo import bundled_base
from pipelines.demo.bundled_base import (
    EMOEDITOR_COMMANDS,
    EMOEDITOR_SETTINGS,
    SETTINGS,
    prepare_bundled_base,
    with_bundled_base,
)
from train.diffusion.autoencoder import make_autoencoder
from train.diffusion.denoiser import make_denoiser
from train.diffusion.folder import write_base
from train.diffusion.settings import AutoencoderSettings, DenoiserSettings


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base of random weights and the shipped one's layout."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    vae = make_autoencoder(AutoencoderSettings(widths=(8, 8, 8)), 64, 0)
    unet = make_denoiser(DenoiserSettings(widths=(8, 8, 8), heads=1), channels=4, side=16, text_width=64, seed=0)
    write_base(tmp_path / "shipped", vae, unet)
    return tmp_path / "shipped"


def test_every_method_edits_with_it_and_the_folders_are_made_once(shipped: Path) -> None:
    bundled = prepare_bundled_base(shipped)
    made = {path: path.stat().st_mtime_ns for path in bundled.base.parent.rglob("*")}
    assert prepare_bundled_base(shipped) == bundled
    assert {path: path.stat().st_mtime_ns for path in bundled.base.parent.rglob("*")} == made
    assert [path.name for path in bundled.base.parent.parent.iterdir()] == [bundled.base.parent.name]
    picture = Image.new("RGB", (64, 64), (200, 120, 40))
    for name, own in SETTINGS.items():
        settings = default_settings(name).model_copy(update={**own, "steps": 2, "batch": 1})
        method = load_method(name, str(bundled.base), str(bundled.model), settings)
        edit = Edit(image=picture, prompt="hills with a fir in cold rain", seed=1)
        assert method.edit([edit], lambda done, total: None, lambda: False)[0].size == (64, 64)


def test_another_base_makes_another_folder(shipped: Path) -> None:
    first = prepare_bundled_base(shipped)
    vae = make_autoencoder(AutoencoderSettings(widths=(8, 8, 8)), 64, 1)
    unet = make_denoiser(DenoiserSettings(widths=(8, 8, 8), heads=1), channels=4, side=16, text_width=64, seed=0)
    write_base(shipped, vae, unet)
    assert prepare_bundled_base(shipped).base != first.base


def test_the_name_gives_base_model_and_settings_that_a_person_can_overrule(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = prepare_bundled_base(shipped)
    monkeypatch.setattr(bundled_base, "prepare_bundled_base", lambda: bundled)
    tools = with_bundled_base(Tools(base="demo", settings={"steps": 3, "size": None}))
    assert (tools.base, tools.model) == (str(bundled.base), str(bundled.model))
    assert tools.settings == {**SETTINGS["moodifier"], "steps": 3}
    assert with_bundled_base(Tools(base="demo", model="runs/demo/model")).model == "runs/demo/model"
    other = Tools(base="somebody/else")
    assert with_bundled_base(other) is other
    with pytest.raises(EditError, match="colour-transfer, not instruct-pix2pix"):
        with_bundled_base(Tools(method="instruct-pix2pix", base="demo"))


def test_an_emoeditor_is_the_users_own_and_without_one_the_commands_are_named() -> None:
    tools = with_bundled_base(Tools(method="emoeditor", base="demo", model="runs/mine", settings={"rounds": 2}))
    assert (tools.base, tools.model) == ("runs/mine", "")
    assert tools.settings == {**EMOEDITOR_SETTINGS, "rounds": 2}
    with pytest.raises(EditError) as refused:
        with_bundled_base(Tools(method="emoeditor", base="demo"))
    for command in EMOEDITOR_COMMANDS:
        assert f"`{command}`" in str(refused.value)
        for word in command.split():
            assert not word.startswith("configs/") or (Path(__file__).parents[3] / word).is_file()


def test_an_installation_without_it_is_told_what_lacks(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"unet/diffusion_pytorch_model.safetensors.*remedy"):
        prepare_bundled_base(tmp_path)
