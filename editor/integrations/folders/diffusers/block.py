"""Moodifier as blocks of a diffusers modular pipeline: one finds prompt and region, one edits.

The editing is MoodArchive's (``pip install 'moodarchive[editor]'``); a pipeline of these blocks gives the pixels that
``moodarchive edit`` gives for the same picture, settings and seed.
"""

from collections.abc import Sequence
from typing import Any

from diffusers.modular_pipelines.modular_pipeline import (
    ModularPipelineBlocks,
    PipelineState,
    SequentialPipelineBlocks,
)
from diffusers.modular_pipelines.modular_pipeline_utils import ConfigSpec, InputParam, OutputParam
from PIL import Image

from editor.edit import METHODS
from editor.integrations.fields import all_settings_fields, request_fields
from editor.integrations.loaded import load_editor
from editor.integrations.pictures import mask_of_values, picture_of_image, picture_of_values
from editor.job import Editor
from editor.pictures import SourcePicture, read_picture
from editor.planning.plan import EditRequest
from editor.planning.regions import Box
from editor.tools import Tools

_CONFIG = ("method", "base", "model", "server", "server_model", "detector", "segmenter", "own_surroundings")


class MoodifierPlanStep(ModularPipelineBlocks):
    """Finds prompt and region for each emotion; a block between this one and the next may change ``plans``."""

    @property
    def description(self) -> str:
        return "Finds what of a picture changes, and what the edited picture shows, for each emotion."

    @property
    def expected_configs(self) -> list[ConfigSpec]:
        return _configs()

    @property
    def inputs(self) -> list[InputParam]:
        return [
            InputParam("image", required=True, description="A PIL image, a path, or [H, W, 3] values in [0, 1]."),
            InputParam("emotion", required=True, description="One of the 27 emotions, or a list of them."),
            InputParam("mask_image", description="White where the picture may change; without it a region is found."),
            InputParam(
                "boxes", description="Corners (x0, y0, x1, y1) as shares of width and height; instead of a mask."
            ),
            *(InputParam(f.name, type_hint=f.type, default=f.default, description=f.says) for f in request_fields()),
            *_settings(),
        ]

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        return [
            OutputParam("source", type_hint=SourcePicture, description="The picture as it is edited."),
            OutputParam("requests", type_hint=list, description="An editor.EditRequest for each emotion."),
            OutputParam("plans", type_hint=list, description="An editor.EditPlan for each emotion."),
        ]

    def __call__(self, components: Any, state: PipelineState) -> tuple[Any, PipelineState]:
        values: Any = self.get_block_state(state)
        editor = _editor(components, values)
        source = _source(values.image)
        emotions = [values.emotion] if isinstance(values.emotion, str) else list(values.emotion)
        mask = None if values.mask_image is None else mask_of_values(values.mask_image, source.image.size)
        plain = {field.name: getattr(values, field.name) for field in request_fields()}
        boxes = tuple(Box(*corners) for corners in values.boxes or ())
        values.source = source
        values.requests = [EditRequest(emotion=each, mask=mask, boxes=boxes, **plain) for each in emotions]
        editor.loaded  # noqa: B018  weights that are missing are told before anything is asked
        values.plans = [editor.plan(source, request) for request in values.requests]
        self.set_block_state(state, values)
        return components, state


class MoodifierEditStep(ModularPipelineBlocks):
    """Edits the picture by its plans."""

    @property
    def description(self) -> str:
        return "Edits a picture by plans of prompt and region."

    @property
    def expected_configs(self) -> list[ConfigSpec]:
        return _configs()

    @property
    def inputs(self) -> list[InputParam]:
        return [
            InputParam("source", type_hint=SourcePicture, required=True, description="The picture."),
            InputParam("requests", type_hint=list, required=True, description="Emotion and seed of each edit."),
            InputParam("plans", type_hint=list, required=True, description="Prompt and region of each edit."),
            *_settings(),
        ]

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        return [
            OutputParam("images", type_hint=list, description="The edited pictures, an emotion each."),
            OutputParam("records", type_hint=list, description="How each came about: for editor.write_edit."),
        ]

    def __call__(self, components: Any, state: PipelineState) -> tuple[Any, PipelineState]:
        values: Any = self.get_block_state(state)
        made = _editor(components, values).edit_as_planned(
            values.source, values.requests, values.plans, lambda done, total: None, lambda: False
        )
        values.images = [edited.image for edited in made]
        values.records = [edited.record for edited in made]
        self.set_block_state(state, values)
        return components, state


class MoodifierBlocks(SequentialPipelineBlocks):
    """Plan, then edit."""

    block_classes = [MoodifierPlanStep, MoodifierEditStep]  # noqa: RUF012
    block_names = ["plan", "edit"]  # noqa: RUF012
    _requirements = {"moodarchive": ">=0.2.0", "diffusers": ">=0.38"}  # noqa: RUF012

    @property
    def description(self) -> str:
        return "Changes a picture so that it evokes an emotion (Moodifier, arXiv 2507.14024)."


def _configs() -> list[ConfigSpec]:
    tools = Tools()
    says = {
        "method": f"one of {', '.join(METHODS)}",
        "base": "the diffusion model: a folder or a hub id; empty: the method's own",
        "model": "an exported MoodifyCLIP's folder",
        "server": "a served vision-language model that finds prompt and region",
        "server_model": "the name under which the server knows it",
        "detector": "GroundingDINO, a folder or a hub id: with a segmenter it finds the region",
        "segmenter": "SAM, a folder or a hub id",
        "own_surroundings": "whether pixels outside the region are the picture's own",
    }
    return [ConfigSpec(name=name, default=getattr(tools, name), description=says[name]) for name in _CONFIG]


def _settings() -> Sequence[InputParam]:
    """What ``EditSettings`` has; None is the method's own value."""
    return [
        InputParam(field.name, type_hint=field.type, default=None, description=field.says)
        for field in all_settings_fields()
    ]


def _editor(components: Any, values: Any) -> Editor:
    """The editor of the pipeline's configuration and the call's settings; the last one stays loaded."""
    given = {field.name: getattr(values, field.name, None) for field in all_settings_fields()}
    config = {name: getattr(components.config, name) for name in _CONFIG}
    return load_editor(Tools(**config, settings={name: value for name, value in given.items() if value is not None}))


def _source(image: Any) -> SourcePicture:
    if isinstance(image, SourcePicture):
        return image
    if isinstance(image, Image.Image):
        return picture_of_image(image)
    return read_picture(image) if isinstance(image, str) or hasattr(image, "__fspath__") else picture_of_values(image)
