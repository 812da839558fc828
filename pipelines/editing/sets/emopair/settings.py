"""The settings of an EmoPair set, read from one TOML file."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from moodarchive.settings import Settings, SettingScope
from pipelines.editing.sets.settings import FilterSettings, MakerSettings, lacks_emoeditor

Kind = Literal["emopair", "instruct-pix2pix", "generated", "ranked", "drawn"]


class PairSource(Settings):
    """Where pairs come from; which settings a kind needs stands with each."""

    kind: Annotated[Kind, SettingScope.PER_ROW]
    """emopair: the authors' JSON; instruct-pix2pix: InstructPix2Pix's folders (EPAS); generated: pictures that a base
    edits (EPGS); ranked: the edits that people chose in a ranking study; drawn: exact pairs of the demo's drawer."""
    folder: Annotated[str, SettingScope.EXECUTION] = ""
    """The pictures: EmoPair/, InstructPix2Pix's clip-filtered-dataset/, a folder of sources, or one that `moodarchive
    pairs candidates` wrote."""
    json_file: Annotated[str, SettingScope.EXECUTION] = ""
    """emopair: data_EmoPair.json."""
    instructions: Annotated[str, SettingScope.EXECUTION] = ""
    """generated: a JSON file, class → instructions with their scores; the best ``kept_instructions`` are used."""
    ranked: Annotated[str, SettingScope.EXECUTION] = ""
    """ranked: study/ranking/ranked.jsonl of the study in which people chose."""
    kept_instructions: Annotated[int, Field(ge=1), SettingScope.PER_ROW] = 10
    """generated: instructions of a class that stay."""
    count: Annotated[int, Field(ge=1), SettingScope.PER_ROW] = 2000
    """generated and drawn: pairs."""
    size: Annotated[int, Field(ge=16, le=2048), SettingScope.PER_ROW] = 64
    """drawn: side in pixels."""
    first_place: Annotated[int, Field(ge=0), SettingScope.PER_ROW] = 0
    """drawn: the first place's seed."""
    mixed: Annotated[float, Field(ge=0, le=1), SettingScope.PER_ROW] = 0.2
    """drawn: share of the sources that are halfway between two moods."""
    licence: Annotated[str, SettingScope.PER_ROW] = ""
    """Of the source pictures, as archives name it (`by 4.0`); empty: unknown, which is packed into private shards."""
    licence_url: Annotated[str, SettingScope.PER_ROW] = ""
    """The licence's text."""
    creator: Annotated[str, SettingScope.PER_ROW] = ""
    """Who made the pictures."""
    permission: Annotated[str, SettingScope.PER_ROW] = ""
    """In whose words the pairs may be passed on, where the licence does not say so."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = {
            "emopair": ("folder", "json_file"),
            "instruct-pix2pix": ("folder",),
            "generated": ("folder", "instructions"),
            "ranked": ("folder", "ranked"),
            "drawn": (),
        }
        if missing := [name for name in needed[self.kind] if not getattr(self, name)]:
            raise ValueError(f"kind = {self.kind!r} needs {', '.join(missing)}")
        return self


class PairSettings(Settings):
    """The whole file."""

    sources: Annotated[tuple[PairSource, ...], Field(min_length=1), SettingScope.PER_ROW]
    """One or several."""
    seed: Annotated[int, SettingScope.PER_ROW] = 0
    """Of all draws."""
    predictor: Annotated[str, SettingScope.PER_ROW] = ""
    """The folder of an emotion predictor; needed by instruct-pix2pix, generated and ranked."""
    maker: MakerSettings = MakerSettings()
    filter: FilterSettings = FilterSettings()
    heldout: Annotated[float, Field(ge=0, lt=0.5), SettingScope.PER_ROW] = 0.05
    """Share of the groups that no training sees."""
    validation: Annotated[float, Field(ge=0, lt=0.5), SettingScope.PER_ROW] = 0.05
    """Share of the groups by which training is judged."""
    pairs_per_part: Annotated[int, Field(ge=1), SettingScope.PER_ROW] = 500
    """Pairs of a part: what is done again after a kill."""
    workers: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 1
    """Worker processes of each stage."""
    gpus_per_worker: Annotated[float, Field(ge=0), SettingScope.EXECUTION] = 0.0
    """Share of a GPU that each worker of a stage with a model gets."""
    ray_address: Annotated[str, SettingScope.EXECUTION] = ""
    """A cluster; empty: a Ray of this run's own."""

    @model_validator(mode="after")
    def _can_edit(self) -> Self:
        if any(one.kind == "generated" for one in self.sources) and (problem := lacks_emoeditor(self.maker)):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _judged(self) -> Self:
        needing = sorted({one.kind for one in self.sources if one.kind not in ("emopair", "drawn")})
        if needing and not self.predictor:
            raise ValueError(f"sources of kind {', '.join(needing)} need a predictor")
        return self

    def recorded(self) -> dict[str, object]:
        """What rows depend on, the sources among them without their folders."""
        from editor.provenance import folder_name

        own = self.of_kind(SettingScope.PER_ROW)
        predictor = folder_name(self.predictor) if self.predictor else ""
        sources = [source.of_kind(SettingScope.PER_ROW) for source in self.sources]
        return own | {"sources": sources, "maker": self.maker.recorded(), "predictor": predictor}


class CandidateSettings(Settings):
    """The whole file of `moodarchive pairs candidates`."""

    folder: Annotated[str, Field(min_length=1), SettingScope.EXECUTION]
    """The source pictures."""
    instructions: Annotated[str, Field(min_length=1), SettingScope.EXECUTION]
    """A JSON file, class → instructions with their scores; the best ``kept_instructions`` are used."""
    kept_instructions: Annotated[int, Field(ge=1), SettingScope.PER_ROW] = 50
    """Instructions of a class that are tried."""
    count: Annotated[int, Field(ge=1), SettingScope.PER_ROW] = 100
    """Records: a source and a class that is drawn for it."""
    candidates: Annotated[int, Field(ge=2, le=9), SettingScope.PER_ROW] = 4
    """Edits of a record; they take the instructions and the makers in turn."""
    seed: Annotated[int, SettingScope.PER_ROW] = 0
    """Of all draws."""
    makers: Annotated[tuple[MakerSettings, ...], Field(min_length=1), SettingScope.PER_ROW]
    """What edits; several are compared."""

    @model_validator(mode="after")
    def _can_edit(self) -> Self:
        if problem := next(filter(None, map(lacks_emoeditor, self.makers)), ""):
            raise ValueError(problem)
        return self

    def recorded(self) -> dict[str, object]:
        """What the candidates depend on."""
        return self.of_kind(SettingScope.PER_ROW) | {"makers": [maker.recorded() for maker in self.makers]}
