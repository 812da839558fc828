"""An L-AVC set survives kills at any moment and has the same bytes; whatever is damaged is named."""

import os
from pathlib import Path

import pytest

from pipelines.editing.sets.lavc.build import build_lavc
from pipelines.editing.sets.lavc.settings import LavcSettings
from pipelines.editing.sets.lavc.verify import verify_lavc
from tests.pipelines.editing.sets.sealed import build_with_kills, content, damage_and_prove

pytestmark = [pytest.mark.torture, pytest.mark.timeout(7200)]
RECORDS = int(os.environ.get("MOODARCHIVE_TORTURE_RECORDS", "1000"))
PER_PART = max(1, RECORDS // 20)


def test_kills_at_ten_moments_leave_a_set_of_the_same_bytes_and_damages_are_named(tmp_path: Path) -> None:
    config = tmp_path / "lavc.toml"
    config.write_text(f"count = {RECORDS}\nsize = 32\nrecords_per_part = {PER_PART}\n")
    expected = build_with_kills("lavc", config, tmp_path, "records")
    # a second build, without Ray, has the same bytes
    settings = LavcSettings(count=RECORDS, size=32, records_per_part=PER_PART)
    build_lavc(settings, str(tmp_path / "here"), on_ray=False)
    assert content(tmp_path / "here") == expected
    assert list(verify_lavc(str(tmp_path / "whole"))) == []
    damage_and_prove(tmp_path / "whole", tmp_path / "damaged", verify_lavc, "records")
