"""Settings of an edit: presets fill in what is not given, and what makes no sense is refused with a remedy."""

import pytest

from editor.edit import PRESETS, EditSettings, default_settings
from editor.integrations.comfyui import load_node
from editor.integrations.fields import settings_fields
from editor.job import settings_with
from editor.tools import Tools
from moodarchive.errors import EditError
from pipelines.demo.bundled_base import SETTINGS, with_bundled_base

NEW = ("preset", "structure", "negative_prompt", "positive_prompt")


@pytest.mark.parametrize(("preset", "tau_c", "structure"), [("faces", 0.2, 0.8), ("objects", 0.3, 0.7)])
def test_a_preset_fills_in_what_is_not_given(preset: str, tau_c: float, structure: float) -> None:
    for settings in (settings_with("moodifier", preset=preset), EditSettings.model_validate({"preset": preset})):
        assert (settings.steps, settings.guidance, settings.source_guidance) == (15, 2.0, 0.6)
        assert (settings.tau_c, settings.structure, settings.preset) == (tau_c, structure, preset)
        assert settings.negative_prompt and settings.positive_prompt
    given = settings_with("moodifier", preset=preset, steps=12, structure=0.0, size=None)
    assert (given.steps, given.structure, given.guidance, given.size) == (12, 0.0, 2.0, 512)


def test_without_a_preset_the_new_settings_are_off() -> None:
    settings = default_settings("moodifier")
    assert [getattr(settings, name) for name in NEW] == ["none", 0.0, "", ""]
    assert EditSettings.model_validate(settings.model_dump()) == settings


def test_every_preset_is_a_choice_and_the_record_holds_what_it_filled_in() -> None:
    (field,) = [field for field in settings_fields("moodifier") if field.name == "preset"]
    assert field.choices == tuple(PRESETS)
    from moodarchive.settings import SettingScope

    recorded = settings_with("moodifier", preset="faces").of_kind(SettingScope.PER_ROW)
    assert recorded.items() >= {"preset": "faces", **PRESETS["faces"]}.items()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"source_guidance": 0.6}, "source_guidance = 0.6 leads towards a positive prompt.*remedy"),
        ({"preset": "faces", "positive_prompt": ""}, "source_guidance = 0.6 leads towards"),
        ({"preset": "cats"}, "preset = 'cats'"),
        ({"structure": 1.5}, "structure = 1.5"),
        ({"negative_prompt": "a\nb"}, "negative_prompt.*one line"),
        ({"positive_prompt": "x" * 2001}, "positive_prompt.*2000"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(EditError, match=said):
        settings_with("moodifier", **given)


def test_a_preset_is_moodifiers() -> None:
    with pytest.raises(EditError, match="preset = 'faces' is one of moodifier's; remedy: leave it out for sdedit"):
        settings_with("sdedit", preset="faces")


def test_in_a_graph_that_holds_every_field_a_preset_fills_in_the_untouched_ones() -> None:
    node = load_node("moodifier")
    shown = {name: options["default"] for name, (_, options) in node.INPUT_TYPES()["optional"].items() if options}
    shown["preset"] = "none"
    (plain,) = node().load(**shown)
    assert plain.settings == default_settings("moodifier")
    (preset,) = node().load(**{**shown, "preset": "objects", "guidance": 2.5})
    assert preset.settings == settings_with("moodifier", preset="objects", guidance=2.5)


def test_on_the_drawn_base_a_preset_goes_before_the_bases_own_values() -> None:
    tools = with_bundled_base(Tools(base="demo", settings={"preset": "faces", "steps": 3}))
    assert tools.settings == {**SETTINGS["moodifier"], **PRESETS["faces"], "preset": "faces", "steps": 3}
