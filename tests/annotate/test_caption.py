"""The caption stage on real parts and a real server: rows, rejections, retries and how much is in flight."""

import json
import pickle
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annotate.caption import CaptionSettings, caption_stage
from annotate.prompt import load_prompt
from moodarchive.chat import client as chat
from moodarchive.errors import ConfigError, ServiceError
from moodarchive.running.stage import run_part
from moodarchive.settings import load
from moodarchive.storage.store import Store
from moodarchive.tables.parts import read_part, read_sidecar
from moodarchive.tables.schemas import CAPTIONS
from tests.annotate.described_part import (
    GOOD,
    Picture,
    ReceivedRequest,
    Reply,
    VisionServer,
    jpeg,
    serving,
    write_inputs,
)


@pytest.fixture
def server() -> Iterator[VisionServer]:
    with serving() as server:
        yield server


def settings_for(server: VisionServer, **changes: Any) -> CaptionSettings:
    return CaptionSettings(**{"servers": (server.url,), "in_flight": 4, "timeout_s": 10.0, "retries": 2, **changes})


def caption(store: Store, settings: CaptionSettings) -> list[dict[str, Any]]:
    stage = caption_stage(settings)
    run_part(stage, store, stage.make_worker(), 0)
    return [row for batch in read_part(store, CAPTIONS, 0) for row in batch.to_pylist()]


def bad(**changes: Any) -> str:
    return json.dumps({**GOOD, **changes})


def test_each_safe_picture_gets_five_sentences(tmp_path: Path, server: VisionServer) -> None:
    store, (picture,) = write_inputs(tmp_path, [Picture(phrase="a lone tree")])
    (row,) = caption(store, settings_for(server))
    assert {name: row[name] for name in GOOD} == GOOD
    assert (row["key"], row["status"], row["error"], row["attempts"]) == (picture.key, "ok", None, 1)
    assert (row["model"], row["prompt_tokens"], row["completion_tokens"]) == ("test-model", 100, 10)
    assert row["prompt_hash"] == load_prompt("five_sentences_2").hash
    assert row["seed"] == server.requests[0].body["seed"]


def test_what_is_said_of_nudity_and_gore_stands_in_the_row_and_is_null_where_nothing_is_said(
    tmp_path: Path, server: VisionServer
) -> None:
    flags = {"a": {"nudity": "yes", "gore": "no"}, "b": {}, "c": {"gore": "perhaps"}}
    server.reply = lambda request: bad(**flags[request.phrase])
    store, pictures = write_inputs(tmp_path, [Picture(phrase=phrase) for phrase in flags])
    rows = {row["key"]: row for row in caption(store, settings_for(server))}
    said = {p.phrase: tuple(rows[p.key][name] for name in ("nudity", "gore", "status", "error")) for p in pictures}
    assert said == {
        "a": (True, False, "ok", None), "b": (None, None, "ok", None), "c": (None, None, "failed", "wrong_schema"),
    }  # fmt: skip
    schema = server.requests[0].body["response_format"]["json_schema"]["schema"]
    assert {"nudity", "gore"} <= set(schema["required"])


def test_the_hint_is_the_best_query_and_stands_last(tmp_path: Path, server: VisionServer) -> None:
    store, _ = write_inputs(tmp_path, [Picture(phrase="a lone tree"), Picture(phrase="a red kite")])
    caption(store, settings_for(server))
    first, second = (request.body["messages"] for request in server.requests)
    assert first[0] == second[0]
    assert first[0]["role"] == "system"
    words = first[1]["content"][-1]["text"]
    assert "joy" in words
    assert "natural scenery" in words
    assert words.endswith(server.requests[0].phrase)
    assert {request.phrase for request in server.requests} == {"a lone tree", "a red kite"}


def test_rows_keep_the_order_and_number_of_the_part(tmp_path: Path, server: VisionServer) -> None:
    server.delay_s = 0.005
    store, pictures = write_inputs(tmp_path, [Picture(phrase=f"tree {i}") for i in range(150)])
    rows = caption(store, settings_for(server))
    assert [row["key"] for row in rows] == [picture.key for picture in pictures]
    sidecar = read_sidecar(store, CAPTIONS, 0)
    assert sidecar is not None
    assert (sidecar.rows, dict(sidecar.failures)) == (150, {})


def test_dropped_pictures_are_skipped_and_never_sent(tmp_path: Path, server: VisionServer) -> None:
    store, pictures = write_inputs(
        tmp_path,
        [
            Picture(phrase="fine"),
            Picture(phrase="lost", image_status="failed", verdict=None),
            Picture(phrase="unsafe", verdict="unsafe"),
            Picture(phrase="unjudged", verdict=None),
        ],
    )
    rows = caption(store, settings_for(server))
    statuses = {picture.phrase: row["status"] for picture, row in zip(pictures, rows, strict=True)}
    assert statuses == {"fine": "ok", "lost": "skipped", "unsafe": "skipped", "unjudged": "skipped"}
    assert [request.phrase for request in server.requests] == ["fine"]
    assert all(row["error"] is None for row in rows)


LONG = [f"The tree has {number} " + "and more " * 45 + "leaves." for number in ("ten", "nine", "six")]
REJECTIONS: dict[str, tuple[str, Reply]] = {
    "cut off": ("cut_off", (json.dumps(GOOD)[:80], "length")),
    "no answer": ("no_answer", "  "),
    "filtered": ("refused", ("", "content_filter")),
    "refused by status": ("refused", 400),
    "not json": ("not_json", "A lone tree stands on a hill."),
    "another object": ("wrong_schema", '{"caption": "A lone tree."}'),
    "two stimuli": ("too_few_stimuli", bad(stimuli=GOOD["stimuli"][:2])),
    "four stimuli": ("wrong_schema", bad(stimuli=[*GOOD["stimuli"], "A fourth thing is seen."])),
    "a number": ("wrong_schema", bad(summary=7)),
    "a control character": ("wrong_schema", bad(summary="A lone \u0007 tree stands here.")),
    "a lone surrogate": ("wrong_schema", bad(summary="A lone \ud800 tree stands here.")),
    "no emotion": ("wrong_schema", bad(emotions=[])),
    "an unknown emotion": ("unknown_emotion", bad(emotions=["melancholy"])),
    "two sentences": ("not_one_sentence", bad(summary="A tree stands. It is alone on a hill.")),
    "a scrap": ("not_one_sentence", bad(assessment="Sad.")),
    "stimuli alike": ("repeated_stimuli", bad(stimuli=["A tree leans over.", "a tree leans over", "The sky is dull."])),
    "the prompt": ("repeats_prompt", bad(assessment="Here one should never name an object, a person or an event.")),
    "too long": ("too_long", bad(stimuli=LONG)),
}


def test_every_rule_has_its_own_kind(tmp_path: Path, server: VisionServer) -> None:
    server.reply = lambda request: REJECTIONS[request.phrase][1]
    store, pictures = write_inputs(tmp_path, [Picture(phrase=phrase) for phrase in REJECTIONS])
    rows = caption(store, settings_for(server, max_attempts=2))
    errors = {picture.phrase: row["error"] for picture, row in zip(pictures, rows, strict=True)}
    assert errors == {phrase: kind for phrase, (kind, _) in REJECTIONS.items()}
    assert all((row["status"], row["attempts"], row["summary"]) == ("failed", 2, None) for row in rows)
    sidecar = read_sidecar(store, CAPTIONS, 0)
    assert sidecar is not None
    assert sidecar.failures == Counter(kind for kind, _ in REJECTIONS.values())


def test_a_rejected_answer_is_asked_again_with_another_seed_and_a_smaller_picture(
    tmp_path: Path, server: VisionServer
) -> None:
    server.reply = lambda request: json.dumps(GOOD) if len(server.requests) == 3 else "not json"
    store, _ = write_inputs(tmp_path, [Picture(phrase="a lone tree", bytes=jpeg(768, 512))])
    (row,) = caption(store, settings_for(server))
    assert (row["status"], row["error"], row["attempts"]) == ("ok", None, 3)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (300, 30)
    assert [request.size for request in server.requests] == [(672, 448), (504, 336), (378, 252)]
    seeds = [request.body["seed"] for request in server.requests]
    assert len(set(seeds)) == 3
    assert row["seed"] == seeds[2]


def test_the_last_rejection_names_the_failure(tmp_path: Path, server: VisionServer) -> None:
    server.reply = lambda request: "not json" if len(server.requests) < 3 else bad(emotions=["melancholy"])
    store, _ = write_inputs(tmp_path, [Picture(phrase="a lone tree")])
    (row,) = caption(store, settings_for(server))
    assert (row["status"], row["error"], row["attempts"]) == ("failed", "unknown_emotion", 3)


def test_an_answer_lost_on_the_way_is_no_attempt(
    tmp_path: Path, server: VisionServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "FIRST_REST_S", 0.01)
    server.reply = lambda request: 503 if len(server.requests) == 1 else json.dumps(GOOD)
    store, _ = write_inputs(tmp_path, [Picture(phrase="a lone tree")])
    (row,) = caption(store, settings_for(server))
    assert (len(server.requests), row["attempts"], row["status"]) == (2, 1, "ok")


def test_bytes_that_are_no_picture_fail_their_row_alone(tmp_path: Path, server: VisionServer) -> None:
    store, pictures = write_inputs(tmp_path, [Picture(phrase="fine"), Picture(phrase="broken", bytes=b"\xff\xd8no")])
    rows = caption(store, settings_for(server))
    errors = {picture.phrase: row["error"] for picture, row in zip(pictures, rows, strict=True)}
    assert errors == {"fine": None, "broken": "unreadable_image"}


def test_a_dead_server_fails_the_part_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "FIRST_REST_S", 0.01)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
    store, _ = write_inputs(tmp_path, [Picture(phrase=f"tree {i}") for i in range(20)])
    with pytest.raises(ServiceError, match=url):
        caption(store, CaptionSettings(servers=(url,), retries=1, patience_s=0))
    assert read_sidecar(store, CAPTIONS, 0) is None


def test_a_server_has_as_many_requests_in_flight_as_the_settings_say(tmp_path: Path, server: VisionServer) -> None:
    server.delay_s = 0.02
    store, _ = write_inputs(tmp_path, [Picture(phrase=f"tree {i}") for i in range(60)])
    caption(store, settings_for(server, in_flight=5))
    assert server.most_working == 5


def test_pictures_are_read_as_they_are_needed(tmp_path: Path, server: VisionServer) -> None:
    store, _ = write_inputs(tmp_path, [Picture(phrase=f"tree {i}") for i in range(400)])
    stage = caption_stage(settings_for(server, in_flight=2))
    batches_read = 0

    def counted(table: Any) -> Any:
        def start() -> Any:
            nonlocal batches_read
            for batch in read_part(store, table, 0):
                batches_read += 1
                yield batch

        return start

    results = stage.make_worker()(0, {table.name: counted(table) for table in stage.reads})
    next(results)
    assert batches_read <= 3 * 3  # of the 7 batches of three tables, those under way
    results.close()  # type: ignore[attr-defined]
    assert len(server.requests) < 150


def test_a_rerun_of_a_deterministic_server_gives_equal_bytes(tmp_path: Path, server: VisionServer) -> None:
    def reply(request: ReceivedRequest) -> str:
        return (
            bad(summary=f"A tree is seen with seed {request.body['seed']}.") if request.body["seed"] % 3 else "not json"
        )

    server.reply = reply
    pictures = [Picture(phrase=f"tree {i}") for i in range(40)]
    digests = []
    for name, in_flight in (("first", 2), ("second", 9)):
        store, _ = write_inputs(tmp_path / name, pictures)
        caption(store, settings_for(server, in_flight=in_flight))
        sidecar = read_sidecar(store, CAPTIONS, 0)
        assert sidecar is not None
        digests.append(sidecar.without_timings())
    assert digests[0] == digests[1]


def test_a_second_run_asks_nothing(tmp_path: Path, server: VisionServer) -> None:
    store, _ = write_inputs(tmp_path, [Picture(phrase="a lone tree")])
    caption(store, settings_for(server))
    caption(store, settings_for(server, in_flight=9, workers=2))
    assert len(server.requests) == 1


def test_the_prompts_content_belongs_to_the_stages_settings(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    text = 'name = "mine"\nversion = 1\nsystem = "Look."\nuser = "{emotion} {phrase}"\n'
    file.write_text(text)
    settings = CaptionSettings(prompt=str(file))
    before = caption_stage(settings).settings
    file.write_text("# a comment\n" + text)
    assert caption_stage(settings).settings == before
    file.write_text(text.replace("Look.", "Look well."))
    assert caption_stage(settings).settings != before
    assert caption_stage(CaptionSettings(seed=1)).settings != caption_stage(CaptionSettings()).settings
    assert caption_stage(CaptionSettings(in_flight=1)).settings == caption_stage(CaptionSettings()).settings


def test_the_worker_factory_travels_and_takes_no_cpu() -> None:
    stage = caption_stage(CaptionSettings(workers=3))
    assert callable(pickle.loads(pickle.dumps(stage.make_worker))())  # noqa: S301  our own bytes
    assert (stage.resources.cpus, stage.resources.max_workers) == (0, 3)


def test_a_bad_address_is_named_with_its_setting() -> None:
    with pytest.raises(ConfigError, match=r"servers.*localhost:8000"):
        load(CaptionSettings, 'servers = ["localhost:8000"]', "my.toml")
