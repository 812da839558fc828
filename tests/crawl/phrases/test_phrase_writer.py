"""A served model extends the lexicon: real HTTP, answers of every bad kind, repeats, deaths and kills."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

import pytest
from aiohttp import web
from rapidfuzz import fuzz
from rich.console import Console

from crawl.phrases.descriptors import DescriptorSettings, make_queries, write_descriptors
from crawl.phrases.phrases import LEXICON, KnownPhrases, normalise_phrase
from crawl.rounds.rounds import open_round, read_round
from moodarchive.chat.client import chat_url
from moodarchive.chat.prompt import PromptFile
from moodarchive.emotions.lexicon import load_lexicon
from moodarchive.emotions.taxonomy import Cell
from moodarchive.errors import ConfigError, RowError, ServiceError
from moodarchive.settings import SettingScope, load
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import DESCRIPTORS
from pipelines.archive import ArchiveRun
from pipelines.inspect.plan import make_plan, read_assumptions
from pipelines.runner.progress import Progress
from pipelines.settings import ArchiveSettings
from tests.crawl import phrase_server
from tests.crawl.phrase_server import MODEL, PATH, PhraseServer, filled, says
from tests.making import rows_of, serving

BUS = Cell("joy", "urban_scenery")


@contextmanager
def _serving(server: PhraseServer) -> Iterator[str]:
    with serving({PATH: server.chat}) as site:
        yield f"http://{site.address}"


def _texts(wanted: phrase_server.SearchPhrases) -> dict[Cell, list[str]]:
    return {cell: [phrase.text for phrase in phrases] for cell, phrases in wanted.phrases.items()}


def test_cells_are_filled_to_their_quota_behind_the_lexicon(store: Store) -> None:
    server = PhraseServer()
    with _serving(server) as base:
        wanted = filled(store.root, base)
    assert {len(phrases) for phrases in wanted.phrases.values()} == {34}
    assert wanted.written == 4 * 20 and wanted.answers_asked == len(server.bodies) and wanted.short(34) == []
    lexicon = load_lexicon()
    for cell, phrases in wanted.phrases.items():
        assert tuple(phrase.text for phrase in phrases[:14]) == lexicon[cell]
        assert {phrase.origin for phrase in phrases[:14]} == {LEXICON}
        assert all(phrase.origin.startswith(f"{MODEL}-served descriptors/1/") for phrase in phrases[14:])
        assert all(" seed " in phrase.origin for phrase in phrases[14:])
    asked = server.bodies[0]["messages"][1]["content"]
    assert "Emotion: joy" in asked and "urban scenery" in asked and lexicon[BUS][0] in asked
    form = server.bodies[0]["response_format"]["json_schema"]
    assert form["strict"] and form["schema"]["properties"]["phrases"]["maxItems"] == 10


def test_no_two_phrases_say_the_same_within_or_across_emotions(store: Store) -> None:
    repeats = json.dumps(
        {"phrases": ["Rusty lanterns, by canal", "canal by rusty lantern", "rusty lanternes by canal"]}
    )
    with _serving(PhraseServer(lambda number, body: repeats if number <= 4 else None)) as base:
        wanted = filled(store.root, base)
    every = [text for texts in _texts(wanted).values() for text in texts]
    assert sum("rusty lantern" in text and "canal" in text for text in every) == 1
    assert wanted.dropped["repeat"] >= 11
    written = [phrase.text for phrases in wanted.phrases.values() for phrase in phrases if phrase.origin != LEXICON]
    assert max(fuzz.ratio(one, other) for one, other in combinations(written, 2)) < 100
    lexicon = [text for texts in load_lexicon().values() for text in texts]
    assert not set(written) & set(lexicon)


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ("no JSON at all", "not_json"),
        ('{"phrases": "one"}', "wrong_schema"),
        ('{"phrases": [1, 2]}', "wrong_schema"),
        ("[]", "wrong_schema"),
        ("", "not_json"),
        (says('{"phrases": ["rusty la', "length"), "cut_off"),
        (says("", refusal="I would rather not"), "refused"),
        (says("", "content_filter"), "refused"),
        (says('{"phrases": ["rusty la', "max_tokens"), "cut_off"),
        (says('{"phrases": ["rusty la', "abort"), "cut_off"),
        (web.Response(status=400, text="too long"), "refused"),
        ('{"phrases": ["愤怒 face", "x", "one", "9 lives", "a b c d e f g h"]}', "malformed"),
        ('{"phrases": ["sign of joy", "joyful crowd"]}', "names_emotion"),
    ],
)
def test_an_answer_that_is_none_is_dropped_with_its_reason_and_asked_anew(
    store: Store, spoilt: web.Response | str, reason: str
) -> None:
    def first_only(number: int, body: dict[str, object]) -> web.Response | str | None:
        return (spoilt or " ") if number == 1 else None

    server = PhraseServer(first_only)
    with _serving(server) as base:
        wanted = filled(store.root, base, in_flight=1)
    assert wanted.dropped[reason] >= 1
    assert wanted.short(34) == [], "the next answers filled the cell"
    seeds = [body["seed"] for body in server.bodies if "Emotion: joy\nContext: urban" in body["messages"][1]["content"]]
    assert len(set(seeds)) == len(seeds) >= 3, "an answer is never asked for twice with one seed"


def test_a_model_that_knows_nothing_new_leaves_the_cell_short(store: Store) -> None:
    server = PhraseServer(lambda number, body: json.dumps({"phrases": list(load_lexicon()[BUS])}))
    with _serving(server) as base:
        wanted = filled(store.root, base, barren_answers=2)
    assert len(wanted.short(34)) == 4 and wanted.written == 0
    assert len(server.bodies) == 4 * 2


def test_what_was_answered_is_not_asked_again_and_gives_the_same_phrases(store: Store) -> None:
    server = PhraseServer()
    with _serving(server) as base:
        first = filled(store.root, base)
        asked = len(server.bodies)
        assert filled(store.root, base).phrases == first.phrases and len(server.bodies) == asked
        more = filled(store.root, base, per_cell=44)
        assert _texts(more)[BUS][:34] == _texts(first)[BUS] and asked < len(server.bodies)
    again = filled(store.root, "http://127.0.0.1:9")
    assert again.phrases == first.phrases and again.answers_asked == 0, "no server is needed for what is known"


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("in_flight", [1, 8])
def test_a_server_that_turns_every_question_down_is_named_and_the_mended_one_is_asked_anew(
    store: Store, status: int, in_flight: int
) -> None:
    refusal = {"error": {"message": "the server's words", "type": "invalid_request_error"}}
    server = PhraseServer(lambda number, body: web.json_response(refusal, status=status))
    with _serving(server) as base:
        with pytest.raises(ServiceError, match=r"turns every question down.*the server's words.*remedy.*writer\.model"):
            filled(store.root, base, in_flight=in_flight)
        assert len(server.bodies) <= 4 + 1, "a turn of the four cells, and a plain question"
        server.spoil = lambda number, body: None
        wanted = filled(store.root, base)
    assert wanted.short(34) == [] and not wanted.dropped["refused"]


@pytest.mark.parametrize("in_flight", [1, 8])
def test_a_question_that_a_sound_server_turns_down_is_dropped_and_not_kept(store: Store, in_flight: int) -> None:
    def refuse_fear(number: int, body: dict[str, object]) -> web.Response | None:
        asks_of_fear = "Emotion: fear" in json.dumps(body["messages"])
        return web.json_response({"error": "not of this"}, status=400) if asks_of_fear else None

    server = PhraseServer(refuse_fear)
    with _serving(server) as base:
        wanted = filled(store.root, base, in_flight=in_flight)
        assert {cell.emotion for cell in wanted.short(34)} == {"fear"} and wanted.dropped["refused"] == 2 * 3
        server.spoil = lambda number, body: None
        assert filled(store.root, base).short(34) == [], "what was turned down is asked again"


def test_a_server_that_dies_is_named_and_the_next_run_goes_on(store: Store) -> None:
    server = PhraseServer(lambda number, body: web.Response(status=500) if number > 6 else None)
    with _serving(server) as base:
        with pytest.raises(ServiceError, match=r'what was written so far is kept.*writer\.model = ""'):
            filled(store.root, base, in_flight=1)
        known = {json.dumps(body) for body in server.bodies[:6]}
        server.spoil = lambda number, body: None
        asked = len(server.bodies)
        wanted = filled(store.root, base)
    assert wanted.short(34) == []
    assert not known & {json.dumps(body) for body in server.bodies[asked:]}
    with pytest.raises(ServiceError, match=chat_url("http://127.0.0.1:9")):
        filled(f"{store.root}-new", "http://127.0.0.1:9", retries=0)


def test_a_killed_run_asks_nothing_twice_and_ends_with_the_same_phrases(store: Store, tmp_path: Path) -> None:
    server = PhraseServer(pause_s=0.05)
    with _serving(server) as base:
        command = [sys.executable, phrase_server.__file__, store.root, base]
        kept, seen = Path(store.root) / "crawl" / "descriptors", 0
        for wait_for in (2, 5):
            process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
            while seen < wait_for and process.poll() is None:
                time.sleep(0.01)
                seen = len(list(kept.rglob("*.json"))) if kept.exists() else 0
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert process.returncode == -signal.SIGKILL
        wanted = filled(store.root, base, in_flight=1)
        assert len({json.dumps(body) for body in server.bodies}) >= len(server.bodies) - 2, "one in flight at each kill"
        undisturbed = filled(str(tmp_path / "other"), base, in_flight=1)
    assert wanted.phrases == undisturbed.phrases


def test_a_round_records_who_wrote_each_phrase(store: Store) -> None:
    with _serving(PhraseServer()) as base:
        wanted = filled(store.root, base)
    queries = make_queries(wanted.phrases, "openverse", 5)
    record = open_round(store, [], queries, {}, 1000)
    assert record and read_round(store, 0) == record
    write_descriptors(store, 0, record.queries, "s")
    rows = {(row["emotion"], row["context"], row["phrase"]): row["origin"] for row in rows_of(store, DESCRIPTORS, 0)}
    assert rows == {(*cell, phrase.text): phrase.origin for cell, some in wanted.phrases.items() for phrase in some}
    assert [query.origin for query in read_round(store, 0).queries] == [query.origin for query in queries]
    by_lexicon = [query for query in queries if query.origin == LEXICON]
    assert open_round(store, [record], by_lexicon, {}, 1000) is None, (
        "a known phrase is a known query, whoever wrote it"
    )


def test_a_run_says_what_was_written_and_records_the_writer_with_the_round(store: Store) -> None:
    def run(base: str, per_cell: int) -> str:
        writer = {"model": MODEL, "servers": [base], "retries": 0, "patience_s": 0, "in_flight": 1}
        values = {
            "descriptors": {
                "emotions": ["joy"], "contexts": ["object_classes"], "phrases_per_cell": per_cell, "writer": writer,
            },
            "search": {"user_agent": "T/1 (a@b.example)"},
        }  # fmt: skip
        console = Console(file=io.StringIO(), width=300)
        ArchiveRun(store, ArchiveSettings.model_validate(values), Progress(store, console)).run("descriptors")
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    with _serving(PhraseServer()) as base:
        said = run(base, 20)
    assert f"6 phrases by {MODEL} (1 answers asked for now" in said and "0 of 1 cells have fewer than 20" in said
    record = read_round(store, 0)
    assert record.growth["descriptors"]["writer"]["model"] == MODEL
    assert [query.origin == LEXICON for query in record.queries] == [True] * 14 + [False] * 6
    assert run("http://127.0.0.1:9", 60) == "", "an open round comes first, and needs no server"
    assert read_round(store, 0) == record


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("  Glaring   EYES. ", "glaring eyes"),
        ("3) cracked café window", "cracked cafe window"),
        ("child's balloon", "childs balloon"),
        ("wind-swept_dune", "wind-swept dune"),
    ],
)
def test_phrases_have_one_spelling(text: str, phrase: str) -> None:
    assert normalise_phrase(text, "anger") == phrase


@pytest.mark.parametrize(
    "text", ["", "one", "a" * 70 + " b", "\u6124\u6012 face", "9 lives", "one two three four five six seven"]
)
def test_what_is_no_phrase_is_malformed(text: str) -> None:
    with pytest.raises(RowError) as caught:
        normalise_phrase(text, "anger")
    assert caught.value.kind == "malformed"


def test_near_repeats_by_words_are_found_as_by_comparing_all_with_all() -> None:
    from random import Random

    random, words = Random(3), [f"{first}{second}" for first in "abcdefgh" for second in ("lo", "mi", "nus")]
    phrases = [" ".join(random.sample(words, random.randint(2, 5))) for _ in range(1500)]
    known, kept = KnownPhrases(similarity=1.0), list[frozenset[str]]()
    for phrase in phrases:
        bag = frozenset(word.removesuffix("s") for word in phrase.split())
        near = any(len(bag & other) >= 0.75 * len(bag | other) for other in kept)
        assert (known.near(phrase) is not None) == near, phrase
        if not near:
            known.add([phrase])
            kept.append(bag)
    assert 100 < len(kept) < 1400


def test_the_settings_of_the_writer_belong_to_the_round(tmp_path: Path) -> None:
    settings = load(DescriptorSettings, '[writer]\nmodel = "m"\nseed = 7\nservers = ["http://a:1"]', "a.toml")
    recorded = settings.of_kind(SettingScope.GROWTH)["writer"]
    assert (recorded["model"], recorded["seed"], recorded["prompt"]) == ("m", 7, "descriptors")
    assert "servers" not in recorded
    with pytest.raises(ConfigError, match=r"writer\.servers.*not an address"):
        load(DescriptorSettings, '[writer]\nservers = ["a:1"]', "a.toml")
    own = tmp_path / "own.toml"
    own.write_text('name = "own"\nversion = 3\nsystem = "s"\nuser = "{emotion} {colour}"\n')
    with pytest.raises(ConfigError, match="'colour'"):
        PromptFile.load(str(own), tmp_path, system={}, hints={"emotion"})


def test_the_plan_counts_the_phrases_to_be_written() -> None:
    values = {"descriptors": {"phrases_per_cell": 114, "writer": {"model": "m", "phrases_per_answer": 25}}}
    plan = make_plan(ArchiveSettings.model_validate(values), 1000, read_assumptions(["new_phrase_share=0.5"]))
    assert (plan.lexicon_phrases, plan.written_phrases, plan.answers) == (108 * 14, 108 * 100, 864)
    alone = make_plan(
        ArchiveSettings.model_validate({"descriptors": {"phrases_per_cell": 114}}), 1000, read_assumptions([])
    )
    assert (alone.lexicon_phrases, alone.written_phrases, alone.answers) == (108 * 14, 0, 0)
