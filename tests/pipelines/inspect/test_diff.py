"""`moodarchive diff` tells people what lies between two seals, and which seals there are."""

import io
import json

import pytest
from rich.console import Console

from moodarchive.errors import NotAnArchiveError, UnknownSealError
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import SCHEMA_VERSION, SELECTION
from pipelines.inspect.diff import show_diff
from shards.seal import seal, unseal
from tests.making import pack_parts, rows_of, sealed_archive, write_rows


def _told(store: Store, earlier: int | None = None, later: int | None = None) -> str:
    console = Console(file=io.StringIO(), width=200)
    show_diff(store, earlier, later, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_the_last_two_seals_are_compared(store: Store) -> None:
    sealed_archive(store)
    assert "seal 0, the first one" in _told(store) and "6 shards added" in _told(store)
    rows = rows_of(store, SELECTION, 0)
    next(row for row in rows if row["kept"] and row["split"] == "train").update(kept=False, reason="low_score")
    unseal(store)
    write_rows(store, SELECTION, 0, rows)
    pack_parts(store, [0])
    seal(store)
    told = _told(store)
    assert "seal 1, since seal 0" in told
    assert "1 shards rewritten: shards/train/00000.tar" in told
    assert "1 samples out: 1 fits its emotion too little (low_score)" in told
    assert "1 samples in" in _told(store, 1, 0)
    assert "no shard, sample or setting changed" in _told(store, 1, 1)


def test_what_cannot_be_compared_is_said(store: Store) -> None:
    with pytest.raises(NotAnArchiveError):
        _told(store)
    store.write_bytes("settings.json", json.dumps({"schema_version": SCHEMA_VERSION}).encode())
    with pytest.raises(UnknownSealError, match="was never sealed"):
        _told(store)
    sealed_archive(store)
    with pytest.raises(UnknownSealError, match="has no seal 3: it has 0 to 0"):
        _told(store, 0, 3)
