"""A set survives kills at any moment and has the same bytes; whatever is damaged is named."""

import os
from pathlib import Path

import pytest

from pipelines.editing.sets.emopair.build import build_pairs
from pipelines.editing.sets.emopair.verify import verify_pairs
from tests.pipelines.editing.sets.emopair.sets import drawn_settings
from tests.pipelines.editing.sets.sealed import build_with_kills, content, damage_and_prove

pytestmark = [pytest.mark.torture, pytest.mark.timeout(7200)]
PAIRS = int(os.environ.get("MOODARCHIVE_TORTURE_PAIRS", "2000"))
CONFIG = f"""pairs_per_part = 250
[[sources]]
kind = "drawn"
count = {PAIRS}
size = 32
"""


def test_kills_at_ten_moments_leave_a_set_of_the_same_bytes_and_damages_are_named(tmp_path: Path) -> None:
    config = tmp_path / "pairs.toml"
    config.write_text(CONFIG)
    expected = build_with_kills("pairs", config, tmp_path, "pairs")
    # without Ray the bytes are the same
    settings = drawn_settings(PAIRS, pairs_per_part=250)
    build_pairs(settings, str(tmp_path / "here"), on_ray=False)
    assert content(tmp_path / "here") == expected
    assert list(verify_pairs(str(tmp_path / "whole"))) == []
    damage_and_prove(tmp_path / "whole", tmp_path / "damaged", verify_pairs, "pairs")
