"""One picture, its wishes: understood, edited, put back into the source's surroundings, and recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version

from PIL import Image
from pydantic import ValidationError

from editor.edit import Edit, EditSettings, Method, Progress, Stopped, default_settings
from editor.loading import load_method
from editor.pictures import SourcePicture
from editor.planning.plan import OWN, SERVED, EditPlan, EditRequest, Understander
from editor.planning.regions import with_own_surroundings
from editor.provenance import EditRecord, folder_name, mask_digest
from moodarchive.errors import EditError
from moodarchive.settings import SettingScope


@dataclass(frozen=True, kw_only=True)
class EditResult:
    """A finished edit, as it is to be written, and how it came about."""

    image: Image.Image
    record: EditRecord
    understanding: EditPlan


@dataclass(kw_only=True)
class Editor:
    """A method with its models, loaded once, and what finds prompt and region for it."""

    method: str
    base: str
    model: str | None
    settings: EditSettings
    understander: Understander
    own_surroundings: bool = True
    """Whether pixels outside the mask are the source's own, or what the autoencoder makes of them."""

    @cached_property
    def loaded(self) -> Method:
        """The method; MissingWeightsError tells what is not there."""
        return load_method(self.method, self.base, self.model, self.settings)

    @cached_property
    def _names(self) -> tuple[str, str]:
        return folder_name(self.base), folder_name(self.model) if self.model else ""

    def edit(
        self, source: SourcePicture, wishes: Sequence[EditRequest], progress: Progress, stopped: Stopped
    ) -> list[EditResult]:
        """The edits of one picture, in the wishes' order; EditStopped when ``stopped()`` said yes."""
        method = self.loaded  # weights that are missing are told before a server is asked
        found = [self._fitting(self.understander.understood(source.image, wish), wish) for wish in wishes]
        edits = [
            Edit(image=source.image, prompt=each.prompt, mask=each.mask, seed=wish.seed)
            for each, wish in zip(found, wishes, strict=True)
        ]
        made = method.edit(edits, progress, stopped)
        return [
            EditResult(
                image=with_own_surroundings(source.image, image, each.mask) if self.own_surroundings else image,
                record=self._record(source, wish, each),
                understanding=each,
            )
            for image, each, wish in zip(made, found, wishes, strict=True)
        ]

    def _fitting(self, found: EditPlan, wish: EditRequest) -> EditPlan:
        """As the method takes it: only Moodifier knows regions, and InstructPix2Pix is told what to do."""
        prompt, mask, notes = found.prompt, found.mask, found.notes
        if self.method != "moodifier" and mask is not None and not wish.region_given:
            mask = None
            notes = (*notes, f"{self.method} knows no region: all of the picture may change")
        if self.method == "instruct-pix2pix" and found.prompt_by in (OWN, SERVED):
            prompt = f"turn it into this: {prompt}"
        region_by = found.region_by if mask is not None or wish.whole else "none"
        return EditPlan(
            prompt=prompt,
            mask=mask,
            target_object=found.target_object,
            prompt_by=found.prompt_by,
            region_by=region_by,
            notes=notes,
        )

    def _record(self, source: SourcePicture, wish: EditRequest, found: EditPlan) -> EditRecord:
        base, model = self._names
        settings = self.settings.of_kind(SettingScope.PER_ROW)
        return EditRecord(
            source_sha256=source.sha256,
            emotion=wish.emotion,
            method=self.method,
            base=base,
            model=model,
            prompt=found.prompt,
            prompt_by=found.prompt_by,
            region_by=found.region_by,
            mask_sha256=mask_digest(found.mask),
            seed=wish.seed,
            settings={**settings, "own_surroundings": self.own_surroundings and found.mask is not None},
            version=version("moodarchive"),
        )


def settings_with(method: str, **given: object) -> EditSettings:
    """The method's own settings, but for those that are given and not None; EditError names a bad value."""
    own = default_settings(method).model_dump()
    try:
        return EditSettings(**{**own, **{name: value for name, value in given.items() if value is not None}})
    except ValidationError as error:
        told = [f"{problem['loc'][0]} = {problem['input']!r}: {problem['msg']}" for problem in error.errors()]
        raise EditError("; ".join(told)) from None
