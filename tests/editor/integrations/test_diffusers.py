"""Moodifier's blocks, loaded by the real diffusers from the folder that is written for it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from editor.edit import EditSettings, IeiSettings
from editor.integrations.write import write_folder
from editor.provenance import encode_edit
from moodarchive.errors import EditError
from tests.docs.commands import blocks_on
from tests.editor.integrations.making import COMMON, edited_by_command, photo_file
from tests.editor.small_models import SmallModels

HOUSE = Path(__file__).parents[3]


def _pipeline(folder: Path, small: SmallModels) -> Any:
    from moodarchive.models.torch_compat import import_torchvision_safely

    import_torchvision_safely()
    from diffusers import ModularPipeline

    write_folder("diffusers", folder, {"base": small.base, "model": small.moodify})
    return ModularPipeline.from_pretrained(str(folder), trust_remote_code=True)


def test_the_blocks_give_the_bytes_of_the_command(small: SmallModels, tmp_path: Path) -> None:
    photo = photo_file(tmp_path)
    expected = edited_by_command(small, photo, tmp_path, "--seed", "7")
    pipeline = _pipeline(tmp_path / "block", small)
    made = pipeline(image=str(photo), emotion="joy", seed=7, **COMMON, output=["images", "records"])
    # of a file the source's digest is the file's, so that the whole file is the same
    assert encode_edit(made["images"][0], made["records"][0], ".png") == expected.read_bytes()
    of_image = pipeline(image=Image.open(photo), emotion="joy", seed=7, **COMMON, output="images")
    assert of_image[0].tobytes() == Image.open(expected).tobytes()
    other = pipeline(image=str(photo), emotion="joy", seed=8, **COMMON, output="images")
    assert other[0].tobytes() != of_image[0].tobytes()


def test_a_mask_and_a_prompt_reach_the_edit_and_several_emotions_come_in_order(
    small: SmallModels, tmp_path: Path
) -> None:
    photo = photo_file(tmp_path)
    picture = Image.open(photo)
    mask = Image.new("L", picture.size)
    mask.paste(255, (0, 0, 30, picture.height))
    pipeline = _pipeline(tmp_path / "block", small)
    images, records = pipeline(
        image=picture,
        emotion=["fear", "joy"],
        mask_image=mask,
        prompt="a storm",
        **COMMON,
        output=["images", "records"],
    ).values()
    assert [record.emotion for record in records] == ["fear", "joy"]
    assert {record.prompt for record in records} == {"a storm"} and {record.region_by for record in records} == {
        "given"
    }
    source = np.asarray(picture)
    for image in images:
        assert (np.asarray(image)[:, 30:] == source[:, 30:]).all() and (
            np.asarray(image)[:, :30] != source[:, :30]
        ).any()


def test_a_plan_can_be_changed_between_the_blocks(small: SmallModels, tmp_path: Path) -> None:
    from dataclasses import replace

    pipeline = _pipeline(tmp_path / "block", small)
    state = pipeline.blocks.sub_blocks["plan"].init_pipeline(str(tmp_path / "block"))(
        image=str(photo_file(tmp_path)), emotion="joy", **COMMON
    )
    state.set("plans", [replace(plan, prompt="a garden in the sun") for plan in state.get("plans")])
    last = pipeline.blocks.sub_blocks["edit"].init_pipeline(str(tmp_path / "block"))
    (record,) = last(state=state, output="records")
    assert record.prompt == "a garden in the sun"


def test_every_setting_is_an_input_of_the_pipeline(small: SmallModels, tmp_path: Path) -> None:
    pipeline = _pipeline(tmp_path / "block", small)
    shown = {*EditSettings.model_fields, *IeiSettings.model_fields} - {"iei"}
    assert {*shown, "image", "emotion", "seed", "prompt"} <= set(pipeline.blocks.input_names)
    with pytest.raises(EditError, match="strength = 3"):
        pipeline(image=str(photo_file(tmp_path)), emotion="joy", strength=3, output="images")


def test_the_folder_remembers_its_models_and_an_upgrade_keeps_them(tmp_path: Path) -> None:
    folder = tmp_path / "block"
    write_folder("diffusers", folder, {"base": "a/b", "model": "m"})
    (folder / "block.py").write_text("old")
    write_folder("diffusers", folder, {"model": "n"})
    index = json.loads((folder / "modular_model_index.json").read_text())
    assert (index["base"], index["model"], index["method"]) == ("a/b", "n", "moodifier")
    assert "MoodifierBlocks" in (folder / "block.py").read_text()


def test_a_folder_with_anything_of_another_s_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(EditError, match=r"photo.jpg, which is not of ours; remedy"):
        write_folder("comfyui", tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
    with pytest.raises(EditError, match="legal: diffusers, comfyui"):
        write_folder("gimp", tmp_path, {})


def test_the_program_of_the_docs_runs_at_a_small_size(
    small: SmallModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = [block for block in blocks_on(HOUSE / "docs" / "editing.md") if "ModularPipeline" in block.text]
    monkeypatch.chdir(tmp_path)
    _pipeline(tmp_path / "runs" / "moodifier-block", small)
    Image.new("RGB", (64, 64), "teal").save("photo.jpg")
    program = block.text.replace("seed=1", "seed=1, steps=2, size=64")
    assert program != block.text
    exec(compile(program, "docs/editing.md", "exec"), {})  # noqa: S102
    assert Image.open("joyful.png").size == (64, 64)
