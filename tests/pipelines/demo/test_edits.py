"""The demo edits drawings with the MoodifyCLIP that it trained, measures them, and does neither twice."""

import io
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from moodarchive.storage.store import Store
from pipelines.demo import edits
from pipelines.demo.base_texts import write_bundled_hub
from pipelines.demo.bundled_base import SETTINGS
from pipelines.demo.edits import DRAWINGS, describe_edits, edit_drawings
from pipelines.inspect.report.extra import Extra


def test_drawings_are_edited_once_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(edits, "CASES", 3)
    monkeypatch.setattr(edits, "LOCAL_CASES", 1)
    for own in SETTINGS.values():
        monkeypatch.setitem(own, "steps", 2)
    write_bundled_hub(tmp_path / "root" / "model" / "hub", long=True)
    store, printed = Store(str(tmp_path / "root")), io.StringIO()
    first = edit_drawings(store, Console(file=printed))
    assert edit_drawings(store, Console(file=printed)) == first
    assert printed.getvalue().count("edit: done") == 1
    assert len(first.strips) == first.drawings == 3 and len(first.methods) == 4
    assert len([path for path in store.files(DRAWINGS) if path.endswith(".png")]) == 3
    assert first.outside > 15 and first.outside_rebuilt > 18
    shown = Extra.model_validate({"edited": asdict(first)}).edited
    assert shown and [strip.emotion for strip in shown.strips] == [strip.emotion for strip in first.strips]
    assert len(describe_edits(first)) == 6
