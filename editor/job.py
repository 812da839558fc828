"""One picture, its requests: understood, edited, put back into the source's surroundings, and recorded."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from typing import Any

from PIL import Image
from pydantic import ValidationError

from editor.edit import PRESETS, Edit, EditSettings, IeiSettings, Method, Progress, Stopped, default_settings
from editor.loading import load_method
from editor.methods.epem import Epem, read_wish
from editor.pictures import SourcePicture
from editor.planning.plan import NOBODY, OWN, PERSON, SERVED, EditPlan, EditRequest, Planner
from editor.planning.regions import with_own_surroundings
from editor.planning.served import keep_sentences, split_sentences
from editor.provenance import EditRecord, folder_name, mask_digest
from moodarchive.emotions.taxonomy import EMOTIONS, MIKELS
from moodarchive.errors import EditError
from moodarchive.models.device import explain_device_errors
from moodarchive.settings import SettingScope

_WHERE_TRAINED = "; a prompt only where it was trained on instructions"


@dataclass(frozen=True, kw_only=True)
class EditResult:
    """A finished edit, as it is to be written, and how it came about.

    ``seconds`` is what its plan took and an equal share of the edits that were made together. No part of the record,
    which is equal for equal edits.
    """

    image: Image.Image
    record: EditRecord
    plan: EditPlan
    seconds: float


@dataclass(kw_only=True)
class Editor:
    """A method with its models, loaded once, and what finds prompt and region for it."""

    method: str
    base: str
    model: str | None
    settings: EditSettings
    planner: Planner
    own_surroundings: bool = True
    """Whether pixels outside the mask are the source's own, or what the autoencoder makes of them."""

    @cached_property
    def loaded(self) -> Method:
        """The method; MissingWeightsError tells what is not there."""
        with explain_device_errors(EditError, f"the models of {self.method}", "a GPU with more memory free"):
            return load_method(self.method, self.base, self.model, self.settings)

    @cached_property
    def _names(self) -> tuple[str, str]:
        return folder_name(self.base), folder_name(self.model) if self.model else ""

    def edit(
        self, source: SourcePicture, requests: Sequence[EditRequest], progress: Progress, stopped: Stopped
    ) -> list[EditResult]:
        """The edits of one picture, in the requests' order; EditStopped when ``stopped()`` said yes."""
        for request in requests:
            self._require_understood(request)
        self.loaded  # noqa: B018  weights that are missing are told before a server is asked
        plans = [self.plan(source, request) for request in requests]
        return self.edit_as_planned(source, requests, plans, progress, stopped)

    def plan(self, source: SourcePicture, request: EditRequest) -> EditPlan:
        """Prompt and region as the method takes them: what was given, or what is found."""
        self._require_understood(request)
        began = time.perf_counter()
        with explain_device_errors(EditError, "a prompt and a region", "--prompt and --box of your own"):
            plan = self._plan(source, request)
        return replace(plan, seconds=time.perf_counter() - began)

    def edit_as_planned(
        self,
        source: SourcePicture,
        requests: Sequence[EditRequest],
        plans: Sequence[EditPlan],
        progress: Progress,
        stopped: Stopped,
    ) -> list[EditResult]:
        """The edits by plans of ``plan``, one for each request; emotion and seed are the requests'."""
        method = self.loaded
        edits = [
            Edit(
                image=source.image,
                prompt=plan.prompt,
                mask=plan.mask,
                emotion=request.emotion,
                instruction=plan.instruction,
                seed=request.seed,
            )
            for plan, request in zip(plans, requests, strict=True)
        ]
        began = time.perf_counter()
        with explain_device_errors(
            EditError,
            f"{len(edits)} edit{'s' if len(edits) > 1 else ''} at size {self.settings.size}",
            "a smaller --size, or fewer emotions in a call",
        ):
            images = method.edit(edits, progress, stopped)
        share = (time.perf_counter() - began) / max(1, len(edits))
        if method.outcomes:
            plans = [
                replace(plan, notes=(*plan.notes, said)) for plan, said in zip(plans, method.outcomes, strict=True)
            ]
        return [
            EditResult(
                image=with_own_surroundings(source.image, image, plan.mask) if self.own_surroundings else image,
                record=self._record(source, request, plan),
                plan=plan,
                seconds=plan.seconds + share,
            )
            for image, plan, request in zip(images, plans, requests, strict=True)
        ]

    def _require_understood(self, request: EditRequest) -> None:
        """EditError for a wish that epem cannot follow, before its models are read."""
        if self.method == "epem":
            read_wish(request.emotion, request.instruction, can_write=bool(request.prompt or self.model))

    def _plan(self, source: SourcePicture, request: EditRequest) -> EditPlan:
        """What the planner finds, as the method takes it; nobody is asked for a method that reads the emotion alone."""
        if self.method == "epem":
            return self._plan_by_instruction(source, request)
        if self.method not in ("emoeditor", "colour-transfer"):
            if request.emotion not in EMOTIONS:
                raise EditError(
                    f"{request.emotion} is one of Mikels' eight, which emoeditor and epem know; remedy for "
                    f"{self.method}: {' or '.join(name for name in EMOTIONS if MIKELS.get(name) == request.emotion)}"
                )
            return self._fit_to_method(self.planner.plan(source.image, request), request)
        whole = replace(request, whole=not request.region_given or request.whole, plain=not request.prompt)
        plan = self.planner.plan(source.image, whole)
        notes = (f"{self.method} reads the emotion{'' if self.method == 'colour-transfer' else _WHERE_TRAINED}",)
        return replace(
            plan,
            prompt=request.prompt,
            prompt_by=PERSON if request.prompt else NOBODY,
            region_by=PERSON if request.region_given else NOBODY,
            notes=notes if request.prompt else (),
        )

    def _plan_by_instruction(self, source: SourcePicture, request: EditRequest) -> EditPlan:
        """Epem's: the instruction and the caption of the edited picture, which its language model writes."""
        whole = replace(request, whole=not request.region_given or request.whole, plain=not request.prompt)
        plan = self.planner.plan(source.image, whole)
        method = self.loaded
        assert isinstance(method, Epem)
        written = method.write(source.image, request.emotion, request.instruction, request.prompt)
        notes = (f"the picture's own caption: {written.source_caption}",) if written.source_caption else ()
        if cut := method.unread(f"{written.instruction} {written.caption}"):
            notes = (*notes, f"longer than the text encoder reads; without effect is its end: {_shortened(cut)!r}")
        return replace(
            plan,
            prompt=written.caption,
            prompt_by=written.by,
            region_by=PERSON if request.region_given else NOBODY,
            instruction=written.instruction,
            notes=notes,
        )

    def _fit_to_method(self, plan: EditPlan, request: EditRequest) -> EditPlan:
        """As the method takes it: only Moodifier knows regions, and InstructPix2Pix is told what to do."""
        prompt, mask, notes = plan.prompt, plan.mask, plan.notes
        if self.method != "moodifier" and mask is not None and not request.region_given:
            mask = None
            notes = (*notes, f"{self.method} knows no region: all of the picture may change")
        if self.method == "instruct-pix2pix" and plan.prompt_by in (OWN, SERVED):
            prompt = f"turn it into this: {prompt}"
        if plan.prompt_by != PERSON and self.loaded.unread(prompt):
            # what is found may be said shorter: whole sentences that the text tower reads
            prompt = keep_sentences(split_sentences(prompt), lambda shorter: not self.loaded.unread(shorter))
        if cut := self.loaded.unread(prompt):
            notes = (
                *notes,
                f"the prompt is longer than the text encoder reads; without effect is its end: {_shortened(cut)!r}",
            )
        region_by = plan.region_by if mask is not None or request.whole else "none"
        return EditPlan(
            prompt=prompt,
            mask=mask,
            target_object=plan.target_object,
            prompt_by=plan.prompt_by,
            region_by=region_by,
            notes=notes,
        )

    def _record(self, source: SourcePicture, request: EditRequest, plan: EditPlan) -> EditRecord:
        base, model = self._names
        settings = self.settings.of_kind(SettingScope.PER_ROW)
        if self.method != "emoeditor":
            del settings["iei"]
        if self.method == "epem":
            settings["instruction"] = plan.instruction
        else:
            del settings["eic"]
        return EditRecord(
            source_sha256=source.sha256,
            emotion=request.emotion,
            method=self.method,
            base=base,
            model=model,
            prompt=plan.prompt,
            prompt_by=plan.prompt_by,
            region_by=plan.region_by,
            mask_sha256=mask_digest(plan.mask),
            seed=request.seed,
            settings={**settings, "own_surroundings": self.own_surroundings and plan.mask is not None},
            version=version("moodarchive"),
        )


def settings_with(method: str, **given: object) -> EditSettings:
    """The method's own settings, but for those that are given and not None; EditError names a bad value.

    A preset that is given goes before the method's own and behind all else that is given. Those of emoeditor's loop go
    by their own names.
    """
    values = {name: value for name, value in given.items() if value is not None}
    preset = str(values.get("preset", "none"))
    if preset != "none" and method != "moodifier":
        raise EditError(f"preset = {preset!r} is one of moodifier's; remedy: leave it out for {method}")
    own = {**default_settings(method).model_dump(), **PRESETS.get(preset, {})}
    of_loop = {name: values.pop(name) for name in IeiSettings.model_fields if name in values}
    try:
        return EditSettings(**{**own, **values, "iei": {**own["iei"], **of_loop}})
    except ValidationError as error:
        raise EditError("; ".join(map(_explain_problem, error.errors()))) from None


def _explain_problem(problem: Mapping[str, Any]) -> str:
    """One line of a validation's error; what concerns several settings names them itself."""
    said = str(problem["msg"]).removeprefix("Value error, ")
    return f"{problem['loc'][-1]} = {problem['input']!r}: {said}" if problem["loc"] else said


def _shortened(text: str, most: int = 60) -> str:
    """A text's beginning, for a line of a message."""
    return text if len(text) <= most else f"{text[:most]}…"
