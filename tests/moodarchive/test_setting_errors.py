"""Settings: errors that a person can act on, and the kinds that tell what a change means."""

from collections.abc import Iterator
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from moodarchive.errors import ConfigError
from moodarchive.settings import Settings, SettingScope, load, named_sections


class Cut(Settings):
    """A section."""

    percentile: Annotated[float, Field(ge=0, lt=100), SettingScope.WHOLE_TABLE] = 20.0
    scope: Annotated[Literal["cell", "global"], SettingScope.WHOLE_TABLE] = "cell"
    workers: Annotated[int, SettingScope.EXECUTION] = 1


class Download(Settings):
    """Another section."""

    longest_side: Annotated[int, SettingScope.PER_ROW] = 768


class Whole(Settings):
    """A settings file."""

    cut: Cut = Cut()
    download: Download = Download()
    sources: Annotated[tuple[str, ...], SettingScope.GROWTH] = ("openverse",)


def _message(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(Whole, text, "a.toml")
    return str(caught.value)


def test_what_is_not_said_has_its_default() -> None:
    settings = load(Whole, "[cut]\npercentile = 10", "a.toml")
    assert settings.cut == Cut(percentile=10.0)
    assert settings.download == Download()
    with pytest.raises(ValidationError):
        settings.cut.percentile = 3.0  # type: ignore[misc]


def test_an_unknown_key_names_the_legal_ones_and_a_near_match() -> None:
    message = _message("[cut]\npercentil = 10")
    assert message.startswith("a.toml: unknown setting 'cut.percentil'; did you mean 'percentile'?")
    assert message.endswith("Legal here: percentile, scope, workers")


def test_an_unknown_section_names_the_legal_ones() -> None:
    message = _message("[dwnload]\nlongest_side = 1")
    assert "'dwnload'; did you mean 'download'?" in message
    assert "cut, download, sources" in message


def test_a_bad_value_names_key_value_and_what_is_legal() -> None:
    assert "cut.percentile = 120: " in _message("[cut]\npercentile = 120")
    assert "less than 100" in _message("[cut]\npercentile = 120")
    scope = _message("[cut]\nscope = 'all'")
    assert "cut.scope = 'all'" in scope and "'cell'" in scope and "'global'" in scope
    assert "cut = 3: " in _message("cut = 3")


def test_every_problem_of_a_file_is_told_at_once() -> None:
    assert len(_message("[cut]\nscope = 'all'\nworker = 2\n[download]\nlongest_side = 'big'").splitlines()) == 3


def test_what_is_no_toml_is_told_with_its_file() -> None:
    assert _message("[cut\n").startswith("a.toml: not valid TOML: ")


def test_a_digest_sees_its_own_kind_only() -> None:
    plain = Whole()
    changed = Whole(cut=Cut(percentile=5.0))
    assert changed.digest(SettingScope.WHOLE_TABLE) != plain.digest(SettingScope.WHOLE_TABLE)
    for kind in (SettingScope.PER_ROW, SettingScope.GROWTH, SettingScope.EXECUTION):
        assert changed.digest(kind) == plain.digest(kind)
    assert plain.digest(SettingScope.PER_ROW) == plain.digest()
    assert Whole(cut=Cut(workers=9)).digest(SettingScope.WHOLE_TABLE) == plain.digest(SettingScope.WHOLE_TABLE)


def test_values_of_a_kind_are_nested_as_in_the_file() -> None:
    assert Whole().of_kind(SettingScope.WHOLE_TABLE) == {"cut": {"percentile": 20.0, "scope": "cell"}}
    assert Whole().of_kind(SettingScope.GROWTH) == {"sources": ["openverse"]}
    assert Whole().of_kind(SettingScope.PER_ROW) == {"download": {"longest_side": 768}}


def _fields(cls: type[Settings], prefix: str) -> Iterator[tuple[str, list[SettingScope]]]:
    for name, field in cls.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from _fields(field.annotation, f"{prefix}{name}.")
        elif section := named_sections(field.annotation):
            yield from _fields(section, f"{prefix}{name}.example.")
        else:
            yield prefix + name, [mark for mark in field.metadata if isinstance(mark, SettingScope)]


def test_every_setting_of_the_project_has_exactly_one_kind() -> None:
    settings = pytest.importorskip("pipelines.settings")
    kinds = dict(_fields(settings.ArchiveSettings, ""))
    assert len(kinds) > 40
    assert {name: marks for name, marks in kinds.items() if len(marks) != 1} == {}


def test_no_setting_of_the_project_is_lost_between_the_kinds() -> None:
    values = {"sources": {"catalogues": {"example": {"files": ["a.csv"]}}}}
    settings = pytest.importorskip("pipelines.settings").ArchiveSettings.model_validate(values)

    def leaves(values: dict[str, object], prefix: str = "") -> Iterator[str]:
        for name, value in values.items():
            yield from leaves(value, f"{prefix}{name}.") if isinstance(value, dict) and value else [prefix + name]

    by_kind = [name for kind in SettingScope for name in leaves(settings.of_kind(kind))]
    assert sorted(by_kind) == sorted(name for name, _ in _fields(type(settings), ""))
