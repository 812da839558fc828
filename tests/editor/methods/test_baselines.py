"""The methods that Moodifier is held against take and give what it does."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from editor.edit import METHODS, Edit, EditStopped, Method, default_settings
from editor.loading import load_method
from editor.methods.moodifier import InversionFree
from moodarchive.errors import EditError
from tests.editor.small_models import SmallModels
from tests.making import textured

OTHERS = ("infedit", "instruct-pix2pix", "sdedit")


def _opened(small: SmallModels, name: str) -> Method:
    settings = default_settings(name).model_copy(update={"size": 48, "steps": 4})
    return load_method(name, small.instruct if name == "instruct-pix2pix" else small.base, None, settings)


def _made(method: Method, edits: Sequence[Edit]) -> list[Image.Image]:
    return method.edit(edits, lambda done, total: None, lambda: False)


@pytest.mark.parametrize("name", OTHERS)
def test_every_method_edits_stops_and_repeats_itself(small: SmallModels, name: str) -> None:
    torch.set_num_threads(1)
    method = _opened(small, name)
    assert method.name == name
    sizes = [(60, 40), (48, 48)]
    edits = [Edit(image=textured(*size, seed=1), prompt="make her laugh", seed=4) for size in sizes]
    told: list[tuple[int, int]] = []
    found = method.edit(edits, lambda done, total: told.append((done, total)), lambda: False)
    assert [image.size for image in found] == sizes
    total = 6 if name == "sdedit" else 8  # two working sizes; sdedit takes three quarters of its steps
    assert told == [(done, total) for done in range(1, total + 1)]
    assert np.asarray(found[0]).std() > 0
    assert [image.tobytes() for image in _made(method, edits)] == [image.tobytes() for image in found]
    told.clear()
    with pytest.raises(EditStopped):
        method.edit(edits, lambda done, total: told.append((done, total)), lambda: len(told) == 2)
    assert len(told) == 2


@pytest.mark.parametrize("scheduler", ["PNDMScheduler", "EulerAncestralDiscreteScheduler"])
def test_progress_counts_what_the_bases_scheduler_takes(small: SmallModels, tmp_path: Path, scheduler: str) -> None:
    told: list[tuple[int, int]] = []
    for name, base in (("sdedit", small.base), ("instruct-pix2pix", small.instruct)):
        folder = shutil.copytree(base, tmp_path / name)
        config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
        config |= {"_class_name": scheduler, "skip_prk_steps": True}
        (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
        settings = default_settings(name).model_copy(update={"size": 48, "steps": 6})
        told.clear()
        edits = [Edit(image=textured(48, 48, seed=1), prompt="rain")] * 2
        method = load_method(name, str(folder), None, settings)
        method.edit(edits, lambda done, total: told.append((done, total)), lambda: False)
        assert told == [(done, len(told)) for done in range(1, len(told) + 1)]
        assert len(told) >= 4


def test_plain_inversion_free_editing_knows_no_mask_and_no_control(small: SmallModels) -> None:
    method = _opened(small, "infedit")
    assert isinstance(method, InversionFree)
    picture = textured(48, 48, seed=2)
    empty = Edit(image=picture, prompt="a storm", source_prompt="a calm sea", mask=np.zeros((48, 48), np.float32))
    plain = Edit(image=picture, prompt="a storm", source_prompt="a calm sea")
    found = [[step.clean for step in method.steps([edit], (48, 48))][-1] for edit in (empty, plain)]
    assert found[0].equal(found[1])
    assert not any(method.control.refine for _ in method.steps([empty], (48, 48)))


def test_bases_of_other_channels_are_refused(small: SmallModels) -> None:
    for name, base, told in (
        ("instruct-pix2pix", small.base, "takes 4 channels; instruct-pix2pix needs one of 8"),
        ("sdedit", small.instruct, "takes 8 channels; sdedit needs one of 4"),
        ("infedit", small.instruct, "takes 8 channels, its VAE gives 4"),
    ):
        with pytest.raises(EditError, match=told):
            load_method(name, base, None, default_settings(name))


def test_a_strength_that_leaves_no_step_is_refused(small: SmallModels) -> None:
    settings = default_settings("sdedit").model_copy(update={"steps": 3, "strength": 0.2})
    with pytest.raises(EditError, match="leave no step"):
        load_method("sdedit", small.base, None, settings)


def test_every_method_has_its_published_settings() -> None:
    found = {name: default_settings(name) for name in METHODS}
    assert {name: settings.steps for name, settings in found.items()} == {
        "moodifier": 12, "infedit": 12, "instruct-pix2pix": 100, "sdedit": 50, "emoeditor": 30,
        "epem": 50, "colour-transfer": 1,
    }  # fmt: skip
    assert found["instruct-pix2pix"].guidance == 7.5
    with pytest.raises(EditError, match="legal"):
        default_settings("painter")


def test_edits_that_make_no_sense_are_refused() -> None:
    picture = textured(20, 10, seed=0)
    with pytest.raises(EditError, match="must be RGB, this one is L"):
        Edit(image=picture.convert("L"), prompt="joy")
    with pytest.raises(EditError, match=r"needs float32 \[10, 20\]"):
        Edit(image=picture, prompt="joy", mask=np.ones((20, 10), np.float32))
    for bad in (np.nan, 1.5, -0.1):
        with pytest.raises(EditError, match="between 0 and 1"):
            Edit(image=picture, prompt="joy", mask=np.full((10, 20), bad, np.float32))
    with pytest.raises(EditError, match="seed = -1"):
        Edit(image=picture, prompt="joy", seed=-1)
