"""Failed captions can be asked about again: what is well stays, and equal servers give equal bytes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annotate.caption import CaptionSettings, caption_stage
from moodarchive.running.stage import mark_failed_rows, marked_parts, retry_path, run_part
from moodarchive.storage.store import Store
from moodarchive.tables.parts import read_part, read_sidecar
from moodarchive.tables.schemas import CAPTIONS
from pipelines.runner.execute import pending_parts
from tests.annotate.described_part import GOOD, Picture, VisionServer, serving, write_inputs

PICTURES = [Picture(phrase=f"tree {number}") for number in range(70)] + [Picture(phrase="unsafe", verdict="unsafe")]


@pytest.fixture
def server() -> Iterator[VisionServer]:
    with serving() as server:
        yield server


def stage_for(server: VisionServer) -> Any:
    return caption_stage(CaptionSettings(servers=(server.url,), in_flight=4, max_attempts=2))


def caption(store: Store, server: VisionServer) -> list[dict[str, Any]]:
    stage = stage_for(server)
    run_part(stage, store, stage.make_worker(), 0)
    return [row for batch in read_part(store, CAPTIONS, 0) for row in batch.to_pylist()]


def digest(store: Store) -> dict[str, object]:
    sidecar = read_sidecar(store, CAPTIONS, 0)
    assert sidecar is not None
    return sidecar.without_timings()


def test_only_failed_rows_of_a_marked_part_are_asked_about_again(tmp_path: Path, server: VisionServer) -> None:
    server.reply = lambda request: "no json" if request.phrase.endswith("7") else json.dumps(GOOD)
    store, _ = write_inputs(tmp_path, PICTURES)
    first = caption(store, server)
    failed = {row["key"] for row in first if row["status"] == "failed"}
    assert len(failed) == 7 and pending_parts([stage_for(server)], store, [0]) == []

    store.write_bytes(retry_path(CAPTIONS, 0), b"")
    assert pending_parts([stage_for(server)], store, [0]) == [0]
    server.requests.clear()
    server.reply = lambda request: json.dumps(GOOD)
    second = caption(store, server)
    assert {request.phrase for request in server.requests} == {f"tree {number}" for number in range(7, 70, 10)}
    assert [row for row in second if row["key"] not in failed] == [row for row in first if row["key"] not in failed]
    assert all(row["status"] == "ok" for row in second if row["key"] in failed)
    assert marked_parts(store, CAPTIONS) == set() and pending_parts([stage_for(server)], store, [0]) == []


def test_a_retry_that_changes_nothing_gives_the_same_bytes(tmp_path: Path, server: VisionServer) -> None:
    server.reply = lambda request: "no json" if request.phrase.endswith("7") else json.dumps(GOOD)
    store, _ = write_inputs(tmp_path, PICTURES)
    caption(store, server)
    before = digest(store)
    store.write_bytes(retry_path(CAPTIONS, 0), b"")
    caption(store, server)
    assert digest(store) == before


def test_a_retry_gives_the_bytes_that_a_sound_server_would_have_given_at_once(
    tmp_path: Path, server: VisionServer
) -> None:
    server.reply = lambda request: "no json" if request.phrase.endswith("7") else json.dumps(GOOD)
    mended, _ = write_inputs(tmp_path / "mended", PICTURES)
    caption(mended, server)
    server.reply = lambda request: json.dumps(GOOD)
    mended.write_bytes(retry_path(CAPTIONS, 0), b"")
    caption(mended, server)
    sound, _ = write_inputs(tmp_path / "sound", PICTURES)
    caption(sound, server)
    assert digest(mended) == digest(sound)


def test_a_mark_outlives_a_retry_that_comes_to_nothing(tmp_path: Path, server: VisionServer) -> None:
    server.reply = lambda request: "no json" if request.phrase.endswith("7") else json.dumps(GOOD)
    store, _ = write_inputs(tmp_path, PICTURES)
    caption(store, server)
    before = digest(store)
    store.write_bytes(retry_path(CAPTIONS, 0), b"")
    server.reply = lambda request: (400, {"error": {"message": "no vision"}})
    with pytest.raises(Exception, match="no vision"):
        caption(store, server)
    assert marked_parts(store, CAPTIONS) == {0} and digest(store) == before


def test_parts_with_failed_rows_are_marked_and_no_others(tmp_path: Path, server: VisionServer) -> None:
    server.reply = lambda request: "no json" if request.phrase == "tree 7" else json.dumps(GOOD)
    write_inputs(tmp_path, PICTURES)
    store, _ = write_inputs(tmp_path, [Picture(phrase="bush")], part=1)
    stage = stage_for(server)
    worker = stage.make_worker()
    for part in (0, 1):
        run_part(stage, store, worker, part)
    assert mark_failed_rows(store, CAPTIONS) == {0: 1}
    assert marked_parts(store, CAPTIONS) == {0} and pending_parts([stage], store, [0, 1]) == [0]
