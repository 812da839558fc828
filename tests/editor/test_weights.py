"""Missing weights are named with licence, size and remedy; a hub is asked once, within seconds."""

import shutil
import socket
from pathlib import Path

import pytest

from editor.edit import Edit, EditSettings
from editor.job import settings_with
from editor.loading import load_method
from editor.weights import BASES, base_folder, moodify_folder
from moodarchive.diffusion.parts import weights_variant
from moodarchive.errors import EditError, MissingWeightsError
from moodarchive.models import hub
from tests.editor.small_models import SmallModels
from tests.hub_server import hub_of
from tests.making import textured

NAME = "somebody/small-model"
PARTS = ("unet", "vae", "scheduler")


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # read once, when another test was imported
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")


@pytest.mark.parametrize("method", BASES)
def test_a_folder_that_lacks_files_is_told_which_and_how_to_get_them(
    small: SmallModels, tmp_path: Path, method: str
) -> None:
    folder = tmp_path / "base"
    shutil.copytree(small.base, folder)
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "vae" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle is no substitute")
    with pytest.raises(MissingWeightsError) as told:
        load_method(method, str(folder), small.moodify, EditSettings(size=64))
    message = str(told.value)
    assert (
        f"{folder} lacks vae/diffusion_pytorch_model.safetensors (there is vae/diffusion_pytorch_model.bin" in message
    )
    assert "not read: it may run any program" in message
    known = BASES[method]
    for part in (known.repository, "OpenRAIL-M", "GB", f"hf download {known.repository}", "--local-dir FOLDER"):
        assert part in message


def test_a_path_without_a_folder_is_no_hub_id(tmp_path: Path) -> None:
    for path in (str(tmp_path / "none"), "./some/model", "a/b/c", "model"):
        with pytest.raises(MissingWeightsError, match=r"there is no folder .*OpenRAIL-M.*hf download"):
            base_folder(path, "moodifier", PARTS)


def test_offline_the_hub_is_not_asked(monkeypatch: pytest.MonkeyPatch, small: SmallModels) -> None:
    with hub_of(Path(small.base), NAME) as (address, asked):
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(MissingWeightsError, match=r"HF_HUB_OFFLINE is set; moodifier needs .*3\.8 GB"):
            base_folder(NAME, "moodifier", PARTS)
        assert asked == []


def test_a_silent_hub_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, by the backlog, and never answers
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(hub, "PATIENCE_S", 0.2)
        with pytest.raises(MissingWeightsError, match=r"cannot be reached \((no answer|ReadTimeout)"):
            base_folder(NAME, "moodifier", PARTS)


def test_a_name_that_the_hub_does_not_know_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with hub_of(tmp_path, "somebody/else") as (address, _):
        monkeypatch.setenv("HF_ENDPOINT", address)
        with pytest.raises(MissingWeightsError, match=r"no public model of this name \(HTTP 404\)"):
            base_folder(NAME, "moodifier", PARTS)


def test_only_what_is_needed_is_downloaded_and_only_once(monkeypatch: pytest.MonkeyPatch, small: SmallModels) -> None:
    with hub_of(Path(small.base), NAME) as (address, asked):
        monkeypatch.setenv("HF_ENDPOINT", address)
        folder = base_folder(NAME, "moodifier", PARTS)
        for name in ("unet/config.json", "unet/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json"):
            assert (folder / name).read_bytes() == (Path(small.base) / name).read_bytes()
        assert not (folder / "text_encoder").exists()
        asked.clear()
        assert base_folder(NAME, "moodifier", PARTS) == folder
        assert asked == []


def test_an_export_is_found_from_the_archives_root_downwards(small: SmallModels) -> None:
    export = Path(small.moodify)
    assert moodify_folder(str(export.parent)) == moodify_folder(str(export)) == moodify_folder(str(export / "hub"))


def test_a_missing_moodifyclip_is_told_with_the_way_to_one(small: SmallModels, tmp_path: Path) -> None:
    (tmp_path / "resnet").mkdir()
    (tmp_path / "resnet" / "open_clip_config.json").write_text("{}")
    for model, told in (
        (None, "no MoodifyCLIP is named"),
        (str(tmp_path / "none"), "there is no folder"),
        (str(tmp_path), "is no exported MoodifyCLIP"),
        (str(tmp_path / "resnet"), "has no hub/"),
    ):
        with pytest.raises(MissingWeightsError, match=rf"{told}.*moodarchive train.*GB.*text_encoder = clip"):
            load_method("moodifier", small.base, model, EditSettings(size=64))


def test_damaged_weights_are_named_without_a_traceback(small: SmallModels, tmp_path: Path) -> None:
    shutil.copytree(small.base, tmp_path / "base")
    weights = tmp_path / "base" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    for method in ("moodifier", "sdedit"):
        with pytest.raises(EditError, match="cannot be read"):
            load_method(method, str(tmp_path / "base"), small.moodify, EditSettings(size=64))


def test_an_unknown_method_is_told_the_legal_ones(small: SmallModels) -> None:
    with pytest.raises(EditError, match=r"'painter'; legal: moodifier, infedit, instruct-pix2pix, sdedit"):
        load_method("painter", small.base, None, EditSettings())


@pytest.mark.parametrize("method", ["moodifier", "infedit", "sdedit"])
@pytest.mark.parametrize("variant", ["fp16", "bf16"])
def test_weights_that_are_there_as_a_variant_alone_are_read(
    small: SmallModels, tmp_path: Path, method: str, variant: str
) -> None:
    folder = tmp_path / "base"
    shutil.copytree(small.base, folder)
    for file in list(folder.rglob("*.safetensors")):
        file.rename(file.with_name(f"{file.stem}.{variant}.safetensors"))
    settings = settings_with(method, size=64, steps=2)
    edit = Edit(image=textured(64, 64, seed=1), prompt="rain")
    plain, other = (
        load_method(method, base, small.moodify, settings).edit([edit], lambda *_: None, lambda: False)[0].tobytes()
        for base in (small.base, str(folder))
    )
    assert plain == other


def test_plain_weights_come_before_variants_and_shards_count_as_weights(tmp_path: Path) -> None:
    name = "diffusion_pytorch_model.safetensors"
    (tmp_path / "diffusion_pytorch_model.fp16.safetensors").touch()
    assert weights_variant(tmp_path, name) == "fp16"
    (tmp_path / f"{name}.index.json").touch()
    assert weights_variant(tmp_path, name) is None
    (tmp_path / f"{name}.index.json").unlink()
    (tmp_path / name).touch()
    assert weights_variant(tmp_path, name) is None


@pytest.mark.parametrize("ending", [".bin", ".ckpt", ".fp16.bin", ".pt"])
def test_weights_of_a_kind_that_is_not_read_are_named(small: SmallModels, tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "base"
    shutil.copytree(small.base, folder)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name(f"diffusion_pytorch_model{ending}"))
    with pytest.raises(MissingWeightsError, match=rf"there is unet/diffusion_pytorch_model{ending}, .*remedy|Remedy"):
        base_folder(str(folder), "moodifier", PARTS)
