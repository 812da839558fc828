"""A model of the hub is had from earlier downloads without asking; a hub that cannot be reached is told in seconds."""

import shutil
import socket
from pathlib import Path

import pytest

from filter.hub_safety import HubClassifier
from moodarchive.errors import ConfigError
from moodarchive.models import hub
from moodarchive.models.clip import ClipEncoder
from pipelines.model.evaluated_model import evaluated
from tests.hub_server import hub_of
from train.model.towers import open_towers
from train.settings import ModelSettings

CHECKPOINT = Path(__file__).parents[3] / "pipelines" / "demo" / "checkpoint"
NAME = "somebody/small-clip"


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "PATIENCE_S", 60.0)  # here nobody is silent, and a busy machine is slow


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a hub that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    _is_at(address, monkeypatch)
    return address


def _is_at(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends the hub's client there, which reads its address once, and templates of it."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")


def test_without_network_every_stage_says_so_with_the_remedy(nobody: str) -> None:
    for load, told in (
        (
            lambda: ClipEncoder(model="ViT-B-16-quickgelu", pretrained="openai").parameters,
            "the CLIP model 'ViT-B-16-quickgelu'",
        ),
        (lambda: evaluated("model", "ViT-B-16-quickgelu/openai").caveat, "the CLIP model 'ViT-B-16-quickgelu'"),
        (lambda: open_towers(ModelSettings()), "model.name = 'ViT-B-16-quickgelu'"),
        (lambda: HubClassifier("somebody/judge", ("nsfw",)).load(), "safety.model = 'somebody/judge'"),
    ):
        with pytest.raises(
            ConfigError, match=rf"{told}.*{nobody} cannot be reached.*remedy: .*HF_HOME.*HF_HUB_OFFLINE"
        ):
            load()


def test_what_was_downloaded_once_is_loaded_without_asking(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(CHECKPOINT, folder)
    with hub_of(folder, NAME) as (address, asked):
        _is_at(address, monkeypatch)
        expected = ClipEncoder(model=f"hf-hub:{NAME}").texts(["joy"])
        assert asked
        asked.clear()
        assert (ClipEncoder(model=f"hf-hub:{NAME}").texts(["joy"]) == expected).all()
        assert asked == []
    assert (ClipEncoder(model=f"hf-hub:{NAME}").texts(["joy"]) == expected).all(), "the hub is gone"


def test_a_download_that_lacks_a_file_is_completed_by_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(CHECKPOINT, folder)
    with hub_of(folder, NAME) as (address, _):
        _is_at(address, monkeypatch)
        expected = ClipEncoder(model=f"hf-hub:{NAME}").texts(["joy"])
        for config in (tmp_path / "cache").rglob("open_clip_config.json"):
            config.unlink()
        assert (ClipEncoder(model=f"hf-hub:{NAME}").texts(["joy"]) == expected).all()


def test_a_wrong_path_is_not_looked_for_on_the_hub(nobody: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be loaded") as told:
        HubClassifier(str(tmp_path / "nowhere"), ("nsfw",)).load()
    assert nobody not in str(told.value)
