"""Nodes of ComfyUI over the editor: load, plan, edit, compare, save.

Pictures are tensors [B, H, W, 3] and masks [B, H, W] in [0, 1]; the editor gets their bytes, so that a graph gives the
pixels that ``moodarchive edit`` gives for the same picture, settings and seed. The nodes follow the contract of
classes (``INPUT_TYPES``, ``RETURN_TYPES``, ``FUNCTION``), which every version of ComfyUI reads.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from editor.edit import METHODS
from editor.integrations.fields import ShownField, request_fields, settings_fields
from editor.integrations.pictures import mask_of_values, picture_of_values, values_of_image
from editor.job import Editor
from editor.pictures import SourcePicture
from editor.planning.plan import EditPlan, EditRequest
from editor.provenance import EditRecord, write_edit
from editor.tools import Tools, make_editor
from moodarchive.emotions.taxonomy import EMOTIONS
from moodarchive.errors import EditError

EDITOR, PLAN = "MOODARCHIVE_EDITOR", "MOODARCHIVE_PLAN"
CATEGORY = "MoodArchive"
_MOST_SEED = 2**63 - 1
_TOOLS = {
    "base": "The diffusion model: a folder or a hub id; empty: the method's own.",
    "model": "An exported MoodifyCLIP's folder: ROOT/model after moodarchive train.",
    "server": "A served vision-language model that finds prompt and region.",
    "server_model": "The name under which the server knows it.",
    "detector": "GroundingDINO, a folder or hub id: with a segmenter it finds the region.",
    "segmenter": "SAM, a folder or hub id.",
}
Inputs = dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What the plan node hands to the edit node: a plan for each picture of the batch."""

    requests: tuple[EditRequest, ...]
    plans: tuple[EditPlan, ...]


def load_node(method: str) -> type:
    """The node that loads one method; its fields are the method's settings with their published values."""

    class Load:
        CATEGORY = CATEGORY
        DESCRIPTION = f"The models of {method}; they are read when the first edit needs them."
        RETURN_TYPES = (EDITOR,)
        RETURN_NAMES = ("editor",)
        FUNCTION = "load"

        @classmethod
        def INPUT_TYPES(cls) -> Inputs:
            texts = {name: ("STRING", {"default": "", "tooltip": says}) for name, says in _TOOLS.items()}
            own = ("BOOLEAN", {"default": True, "tooltip": "Pixels outside the region are the picture's own."})
            settings = {field.name: _widget(field) for field in settings_fields(method)}
            # optional, so that graphs that were saved before a setting was added still run
            return {"required": {}, "optional": {**texts, **settings, "own_surroundings": own}}

        def load(self, own_surroundings: bool = True, **given: Any) -> tuple[Editor]:
            tools = {name: str(given.pop(name, "")).strip() for name in _TOOLS}
            # a graph holds every field; one with the method's own value is left to the preset
            own = {field.name: field.default for field in settings_fields(method)}
            given = {name: value for name, value in given.items() if value != own.get(name)}
            return (make_editor(Tools(method=method, own_surroundings=own_surroundings, settings=given, **tools)),)

    Load.__name__ = Load.__qualname__ = f"Load_{method.replace('-', '_')}"
    return Load


class Plan:
    """Finds prompt and region of each picture, or takes those that are given."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Finds what of a picture changes, and what the edited picture shows."
    RETURN_TYPES = (PLAN, "STRING", "MASK")
    RETURN_NAMES = ("plan", "prompt", "mask")
    FUNCTION = "plan"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        fields = {field.name: _widget(field) for field in request_fields()}
        fields["prompt"] = ("STRING", {"default": "", "multiline": True, "tooltip": "Empty: found."})
        return {
            "required": {"editor": (EDITOR,), "image": ("IMAGE",), "emotion": (list(EMOTIONS), {"default": "joy"})},
            "optional": {"mask": ("MASK",), **fields},
        }

    def plan(
        self, editor: Editor, image: torch.Tensor, emotion: str, mask: torch.Tensor | None = None, **given: Any
    ) -> tuple[Planned, str, torch.Tensor]:
        """The plans, the prompts a line each, and the regions [B, H, W]; 1 everywhere where there is none."""
        given["prompt"] = " ".join(str(given.get("prompt", "")).split())
        masks = None if mask is None else mask.reshape(-1, *mask.shape[-2:])
        requests, plans, regions = [], [], []
        for index, source in enumerate(_sources(image)):
            size = source.image.size
            own = None if masks is None else mask_of_values(masks[min(index, len(masks) - 1)], size)
            request = EditRequest(emotion=emotion, mask=own, **given)
            plan = editor.plan(source, request)
            requests.append(request)
            plans.append(plan)
            regions.append(np.ones((size[1], size[0]), np.float32) if plan.mask is None else plan.mask)
        prompts = "\n".join(plan.prompt for plan in plans)
        return Planned(requests=tuple(requests), plans=tuple(plans)), prompts, torch.from_numpy(np.stack(regions))


class Edit:
    """Edits each picture by its plan."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Edits by a plan; another seed gives another edit."
    RETURN_TYPES = ("IMAGE", "STRING")
    RETURN_NAMES = ("image", "record")
    FUNCTION = "edit"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        seed = {"default": 0, "min": 0, "max": _MOST_SEED, "control_after_generate": True}
        return {
            "required": {"editor": (EDITOR,), "image": ("IMAGE",), "plan": (PLAN,), "seed": ("INT", seed)},
        }

    def edit(self, editor: Editor, image: torch.Tensor, plan: Planned, seed: int) -> tuple[torch.Tensor, str]:
        """[B, H, W, 3], and how each came about: a JSON object a line."""
        sources = _sources(image)
        if len(sources) != len(plan.plans):
            raise EditError(
                f"{len(sources)} pictures and {len(plan.plans)} plans; remedy: give plan and edit the same pictures"
            )
        show, stopped = _watch()
        edited = []
        for done, (source, request, each) in enumerate(zip(sources, plan.requests, plan.plans, strict=True)):

            def progress(step: int, of: int, done: int = done) -> None:
                show(done * of + step, len(sources) * of)

            edited += editor.edit_as_planned(source, [replace(request, seed=seed)], [each], progress, stopped)
        records = "\n".join(json.dumps(asdict(result.record), sort_keys=True) for result in edited)
        return torch.from_numpy(np.stack([values_of_image(result.image) for result in edited])), records


class Compare:
    """Before and after side by side."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Before, the region where a mask is given (the rest dimmed), and after, side by side."
    RETURN_TYPES = ("IMAGE", "STRING")
    RETURN_NAMES = ("image", "change")
    FUNCTION = "compare"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"before": ("IMAGE",), "after": ("IMAGE",)}, "optional": {"mask": ("MASK",)}}

    def compare(
        self, before: torch.Tensor, after: torch.Tensor, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, str]:
        """[B, H, 2 or 3 W, 3], and each picture's mean change of 255 inside and outside the mask, a line each."""
        if before.shape != after.shape:
            raise EditError(f"before is {list(before.shape)}, after {list(after.shape)}; remedy: pictures of one size")
        change = (after - before).abs().mean(dim=3) * 255
        if mask is None:
            lines = [f"changed by {float(each.mean()):.2f} of 255" for each in change]
            return torch.cat([before, after], dim=2), "\n".join(lines)
        inside = (mask.reshape(-1, *mask.shape[-2:]) > 0).expand(change.shape)
        dimmed = torch.where(inside[..., None], before, before * 0.28)
        lines = [
            f"changed by {_mean(each[within]):.2f} of 255 inside, {_mean(each[~within]):.2f} outside"
            for each, within in zip(change, inside, strict=True)
        ]
        return torch.cat([before, dimmed, after], dim=2), "\n".join(lines)


class Save:
    """Writes edits with their records, which ComfyUI's own node for saving would leave out."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Saves edits as PNG that say how they were made, as moodarchive edit writes them."
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ()
    FUNCTION = "save"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "image": ("IMAGE",),
                "record": ("STRING", {"forceInput": True}),
                "filename_prefix": ("STRING", {"default": "MoodArchive"}),
            }
        }

    def save(self, image: torch.Tensor, record: str, filename_prefix: str) -> dict[str, Any]:
        """The files' names, as ComfyUI shows them."""
        import folder_paths  # type: ignore[import-not-found]

        sources, records = _sources(image), [EditRecord.parse(line) for line in record.splitlines()]
        if len(sources) != len(records):
            raise EditError(f"{len(sources)} pictures and {len(records)} records; remedy: both from one edit node")
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory(), image.shape[2], image.shape[1]
        )
        shown = []
        for source, each in zip(sources, records, strict=True):
            file = f"{name}_{counter:05}_.png"
            write_edit(Path(folder) / file, source.image, each)
            shown.append({"filename": file, "subfolder": subfolder, "type": "output"})
            counter += 1
        return {"ui": {"images": shown}}


def _sources(image: torch.Tensor) -> list[SourcePicture]:
    return [picture_of_values(each) for each in image]


def _mean(values: torch.Tensor) -> float:
    return float(values.mean()) if values.numel() else 0.0


def _widget(field: ShownField) -> tuple[Any, dict[str, Any]]:
    """A field as ComfyUI shows it."""
    options: dict[str, Any] = {"default": field.default}
    if field.says:
        options["tooltip"] = field.says
    if field.choices:
        return list(field.choices), options
    if field.type is bool or field.type is str:
        return ("BOOLEAN" if field.type is bool else "STRING"), options
    whole = field.type is int
    kind = int if whole else float
    options |= {
        "min": kind(field.least if field.least is not None else 0),
        "max": kind(field.most) if field.most is not None else _MOST_SEED,
    }
    return ("INT", options) if whole else ("FLOAT", options | {"step": 0.05, "round": False})


def _watch() -> tuple[Callable[[int, int], None], Callable[[], bool]]:
    """ComfyUI's bar and its button to stop; without ComfyUI, as in a script, neither."""
    try:
        from comfy.model_management import (  # type: ignore[import-not-found]
            throw_exception_if_processing_interrupted as raise_if_interrupted,
        )
        from comfy.utils import ProgressBar  # type: ignore[import-not-found]
    except ImportError:
        return (lambda done, of: None), (lambda: False)
    bar = ProgressBar(1)

    def stopped() -> bool:
        raise_if_interrupted()  # ComfyUI's own exception: it takes any other for a failure
        return False

    return bar.update_absolute, stopped


NODE_CLASS_MAPPINGS: dict[str, type] = {
    **{f"MoodArchiveLoad_{method.replace('-', '_')}": load_node(method) for method in METHODS},
    "MoodArchivePlan": Plan,
    "MoodArchiveEdit": Edit,
    "MoodArchiveCompare": Compare,
    "MoodArchiveSave": Save,
}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    **{f"MoodArchiveLoad_{method.replace('-', '_')}": f"MoodArchive: load {method}" for method in METHODS},
    "MoodArchivePlan": "MoodArchive: plan",
    "MoodArchiveEdit": "MoodArchive: edit",
    "MoodArchiveCompare": "MoodArchive: compare",
    "MoodArchiveSave": "MoodArchive: save with record",
}
