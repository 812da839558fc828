"""The report counts every image once, shows only what may be shown, and loads nothing from outside."""

import hashlib
import html
import io
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from moodarchive.storage.store import Store
from moodarchive.tables.keys import image_key
from moodarchive.tables.parts import Origin, Sidecar, read_sidecar, write_part, write_sidecar
from moodarchive.tables.schemas import (
    CANDIDATES,
    CAPTIONS,
    IMAGES,
    ITEMS,
    SAFETY,
    SCHEMA_VERSION,
    SCORES,
    SELECTION,
    SHARD_INDEX,
    Table,
    as_batch,
    empty_row,
)
from pipelines.inspect.report.links import safe_link
from pipelines.inspect.report.names import kind_name, licence_name
from pipelines.inspect.report.write import write_report
from shards.seal import seal, unseal
from tests.making import pack_parts, rows_of, sealed_archive, write_rows

ORIGIN = Origin(settings="x", inputs={}, started=0)
HOSTILE = "<script>alert(1)</script>"
FLOW = (IMAGES, SAFETY, CAPTIONS, SCORES, SELECTION)
_FAILED_AT = {"download": "failed_download", "caption": "failed_caption", "score": "failed_score"}


@dataclass(frozen=True, kw_only=True)
class Made:
    """An image as the test wants it: the step where it ended (``kept`` when it did not) and why."""

    number: int
    stage: str = "kept"
    kind: str | None = None
    emotion: str = "joy"
    context: str = "natural_scenery"
    title: str = "A picture"
    creator: str = "Ann"
    landing_url: str = "https://example.org/page"
    licence: str | None = "by 2.0"
    source: str = "openverse"
    split: str = "train"
    score: float = 0.25
    mature: bool = False
    colour: int | None = None

    @property
    def key(self) -> str:
        return image_key("test", str(self.number))

    @property
    def jpeg(self) -> bytes:
        sink = io.BytesIO()
        Image.new("RGB", (60, 40), (self.number % 256, self.colour or 90, 120)).save(sink, "JPEG")
        return sink.getvalue()


def _archive() -> list[Made]:
    """Forty images: 24 kept, 16 ended in all the ways there are."""
    kept = [Made(number=n, emotion=("joy", "fear", "love")[n % 3], score=0.2 + n / 200) for n in range(24)]
    kept[0] = replace(
        kept[0], title=HOSTILE, creator='"><img src=x onerror=alert(2)>', landing_url="javascript:alert(3)"
    )
    kept[1] = replace(kept[1], licence="by-sa 4.0", split="heldout")
    kept[2] = replace(kept[2], source="closed", split="private")
    ends = [("download", "http_404")] * 4 + [("download", "forbidden_address")] + [("safety", "unsafe")] * 3
    ends += [("caption", "not_json"), ("score", "not_finite")]
    ends += [("cut", "low_score")] * 4 + [("cut", "repeat"), ("cut", "taken_down")]
    lost = [Made(number=100 + n, stage=stage, kind=kind, score=0.1) for n, (stage, kind) in enumerate(ends)]
    return kept + lost


def _provenance(made: Made) -> dict[str, object]:
    return {
        "key": made.key,
        "url": f"https://example.org/{made.number}.jpg",
        "source": made.source,
        "landing_url": made.landing_url,
        "title": made.title,
        "creator": made.creator,
        "creator_url": "https://example.org/ann",
        "licence": made.licence,
        "licence_url": f"https://creativecommons.org/licenses/{made.licence.replace(' ', '/')}/"
        if made.licence
        else None,
        "mature": made.mature,
        "retrieved_on": "2026-01-02",
        "round": 0,
    }


def _row(table: Table, made: Made) -> dict[str, object]:
    """The image's row, as the stage that writes the table would leave it."""
    order = ("download", "safety", "caption", "score", "cut", "kept")
    steps = {IMAGES.name: "download", SAFETY.name: "safety", CAPTIONS.name: "caption", SCORES.name: "score"}
    cell = {"emotion": made.emotion, "context": made.context}
    if table is ITEMS:
        queries = [{**cell, "phrase": "a phrase", "rank": 0}]
        return empty_row(ITEMS, **_provenance(made), queries=queries)
    if table is SELECTION:
        reason = _FAILED_AT.get(made.stage, made.kind)
        return empty_row(SELECTION, key=made.key, kept=made.stage == "kept", reason=reason, split=made.split, **cell)
    step, ended = order.index(steps[table.name]), order.index(made.stage)
    if step > ended:
        return empty_row(table, key=made.key, status="skipped")
    if table is SAFETY:
        verdict = "unsafe" if made.kind == "unsafe" else "safe"
        return empty_row(SAFETY, key=made.key, nsfw=0.5, verdict=verdict, status="ok")
    if step == ended:
        return empty_row(table, key=made.key, status="failed", error=made.kind)
    words = {"summary": "A scene.", "stimuli": ["One.", "Two.", "Three."], "assessment": "It is calm."}
    values: dict[str, dict[str, object]] = {
        IMAGES.name: {"bytes": made.jpeg, "width": 60, "height": 40},
        CAPTIONS.name: {**words, "emotions": ["joy"]},
        SCORES.name: {"score": made.score, "phrase": "joy", **cell},
    }
    return empty_row(table, key=made.key, status="ok", **values[table.name])


def fill(store: Store, archive: list[Made], tables: tuple[Table, ...] = FLOW, hits: int = 2) -> None:
    """Writes the tables in two parts, ``hits`` candidates an image."""
    candidates = [empty_row(CANDIDATES, **_provenance(made), rank=n) for made in archive for n in range(hits)]
    write_part(store, CANDIDATES, 0, [as_batch(CANDIDATES, candidates)], ORIGIN)
    for part in (0, 1):
        of_part = sorted(archive[part::2], key=lambda made: made.key)
        for table in (ITEMS, *tables):
            write_part(store, table, part, [as_batch(table, [_row(table, made) for made in of_part])], ORIGIN)


def pack(store: Store, archive: list[Made]) -> None:
    """Writes shards that hold the pictures alone: the report reads their indexes and, once pruned, the pictures."""
    for part in (0, 1):
        kept = sorted((made for made in archive[part::2] if made.stage == "kept"), key=lambda made: made.key)
        sets = {name: [made for made in kept if made.split == name] for name in ("train", "heldout", "private")}
        for name, of_set in sets.items():
            if of_set:
                _pack_set(store, name, part, of_set)
        counts = {name: len(of_set) for name, of_set in sets.items() if of_set}
        write_sidecar(store, SHARD_INDEX, _shard_sidecar(part, counts))


def _pack_set(store: Store, name: str, part: int, samples: list[Made]) -> None:
    tar, rows = b"", []
    for made in samples:
        rows.append(empty_row(SHARD_INDEX, key=made.key, jpg_offset=len(tar), jpg_size=len(made.jpeg)))
        tar += made.jpeg
    store.write_bytes(f"shards/{name}/{part:05d}.tar", tar)
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_batches([as_batch(SHARD_INDEX, rows)]), sink)
    store.write_bytes(f"shards/{name}/{part:05d}.parquet", sink.getvalue())


def _shard_sidecar(part: int, sets: dict[str, int]) -> Sidecar:
    return Sidecar(
        table=SHARD_INDEX.name,
        part=part,
        rows=sum(sets.values()),
        failures={},
        files={},
        bytes=0,
        settings="x",
        inputs={},
        started=0,
        finished=0,
        sets=sets,
    )


def _page(store: Store) -> str:
    return store.read_bytes(write_report(store)).decode()


@dataclass(frozen=True)
class Drawn:
    """A step as the page shows it."""

    stage: str
    entered: int
    passed: int
    lost: tuple[int, ...]


def _flow(page: str) -> list[Drawn]:
    steps = re.findall(
        r'<li data-stage="(\w+)" data-entered="(\d+)" data-passed="(\d+)">(.*?)(?=<li data-stage|</ol>)', page, re.S
    )
    return [
        Drawn(stage, int(entered), int(passed), tuple(map(int, re.findall(r'data-lost="(\d+)"', rest))))
        for stage, entered, passed, rest in steps
    ]


class _Loads(HTMLParser):
    """Everything that the page would fetch, and every link and element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.elements: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        for name, value in attrs:
            assert not name.startswith("on"), name
            if name in ("src", "srcset", "data", "poster", "action") or (tag == "link" and name == "href"):
                self.loaded.append(value or "")
            if tag == "a" and name == "href":
                self.links.append(value or "")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(str(tmp_path_factory.mktemp("roots") / "calm seas"))
    fill(store, _archive())
    pack(store, _archive())
    store.write_bytes("manifest.json", b"{}")
    yield store


def test_every_step_is_the_one_before_less_what_fell_out(finished: Store) -> None:
    page = _page(finished)
    steps = _flow(page)
    assert [(step.stage, step.passed) for step in steps] == [
        ("search", 80),
        ("merge", 40),
        ("download", 35),
        ("safety", 32),
        ("caption", 31),
        ("score", 30),
        ("cut", 24),
        ("pack", 24),
    ]
    for before, step in itertools.pairwise(steps):
        assert before.passed == step.entered == step.passed + sum(step.lost)
    sets = dict(re.findall(r'data-set="(\w+)" data-count="(\d+)"', page))
    assert sets == {"train": "22", "heldout": "1", "private": "1"}


def test_drops_are_counted_by_reason_and_named_for_people(finished: Store) -> None:
    page = _page(finished)
    drops = {kind: int(count) for kind, count in re.findall(r'data-kind="(\w+)" data-count="(\d+)"', page)}
    assert drops == {
        "http_404": 4,
        "forbidden_address": 1,
        "unsafe": 3,
        "not_json": 1,
        "not_finite": 1,
        "low_score": 4,
        "repeat": 1,
        "taken_down": 1,
    }
    assert "not found (HTTP 404)" in page
    assert kind_name("some_new_kind") == "some new kind"


def test_header_tells_name_seal_and_digest(finished: Store) -> None:
    page = _page(finished)
    assert "<h1>calm seas</h1>" in page
    assert "Not sealed" not in page
    assert hashlib.sha256(b"{}").hexdigest()[:16] in page
    assert "Not there yet" not in page


def test_strangers_words_stay_words(finished: Store) -> None:
    page = _page(finished)
    found = _Loads(page)
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "script" not in found.elements
    assert all(link.startswith(("https://", "http://", "#")) for link in found.links)
    assert "javascript:" not in page


def test_nothing_is_loaded_from_outside(finished: Store) -> None:
    page = _page(finished)
    found = _Loads(page)
    assert found.loaded
    assert all(address.startswith("data:image/jpeg;base64,") for address in found.loaded)
    assert "url(" not in page
    assert "@import" not in page


def test_unsafe_withdrawn_mature_and_private_pictures_are_not_shown(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    archive = _archive()
    archive[3] = replace(archive[3], mature=True)
    fill(store, archive)
    pack(store, archive)
    store.write_bytes(
        "settings.json", json.dumps({"whole_table": {"shards": {"private_sources": ["closed"]}}}).encode()
    )
    page = _page(store)
    shown = set(re.findall(r'data-key="(\w+)"', page))
    by_key = {made.key: made for made in archive}
    assert len(shown) == 22 + 7  # kept less the mature and the private; dropped though safe, less the one taken down
    assert not [made for key in shown if (made := by_key[key]).kind in ("unsafe", "taken_down") or made.mature]
    assert not [key for key in shown if by_key[key].source == "closed"]


def test_a_picture_whose_licence_lets_nobody_pass_it_on_is_not_shown(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    archive = _archive()
    for at, licence in enumerate(("by-nc 2.0", "by-nd 2.0", None, "by 4.0")):
        archive[at] = replace(archive[at], licence=licence)
    fill(store, archive)
    pack(store, archive)
    shown = set(re.findall(r'data-key="(\w+)"', _page(store)))
    assert shown and not shown & {made.key for made in archive[:3]}


def test_what_was_cut_is_shown_by_reason_a_dozen_of_each_at_most(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    many = [Made(number=200 + n, stage="cut", kind="low_score", score=n / 100) for n in range(30)]
    fill(store, _archive() + many)
    page = _page(store)
    groups = dict(
        re.findall(r'class="cut-group" data-reason="(\w+)">(.*?)(?=<div class="cut-group"|</section>)', page, re.S)
    )
    assert list(groups) == ["low_score", "unsafe", "not_finite", "not_json", "repeat", "taken_down"]
    assert "34, 12 shown" in groups["low_score"]
    shown = re.findall(r'data-key="(\w+)"', groups["low_score"])
    assert shown == [made.key for made in reversed(many)][:12], "those that came closest"
    for reason, group in groups.items():
        pictures = group.count("data:image/jpeg")
        assert (pictures == 0) == (reason in ("unsafe", "taken_down")), reason
        assert ("Counted, not shown." in group) == (reason in ("unsafe", "taken_down"))


def test_the_change_between_the_last_two_seals_is_shown(store: Store) -> None:
    sealed_archive(store)
    assert "archive's first seal" in html.unescape(_page(store))
    rows = rows_of(store, SELECTION, 1)
    fallen, moved = [row for row in rows if row["kept"] and row["split"] == "train"][:2]
    fallen.update(kept=False, reason="repeat")
    moved.update(split="heldout")
    unseal(store)
    write_rows(store, SELECTION, 1, rows)
    pack_parts(store, [1])
    settings = {"schema_version": SCHEMA_VERSION, "whole_table": {"cut": {"percentile": 12.5}}}
    store.write_bytes("settings.json", json.dumps(settings).encode())
    seal(store)
    (section,) = re.findall(r'<section id="change".*?</section>', _page(store), re.S)
    text = " ".join(re.sub("<[^>]+>", " ", section).split())
    assert 'data-seal="1"' in section and "What lies between seal 0 and seal 1" in text
    for line in (
        "Samples that left 1 looks like an image already kept",
        "Moved to another set 1 train to held out",
        "Shards 2 rewritten",
        "whole_table.cut.percentile not set → 12.5",
    ):
        assert line in text
    assert "Samples that came in" not in text


def test_a_damaged_record_of_the_seal_costs_its_section_only(store: Store) -> None:
    sealed_archive(store)
    store.write_bytes("seals/0000.json", b"{}")
    page = _page(store)
    assert 'id="change"' not in page and 'id="cut"' in page


def test_an_unfinished_root_says_what_is_not_there_yet(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    fill(store, _archive(), tables=(IMAGES, SAFETY))
    store.remove("safety/00001.json")
    page = _page(store)
    steps = {step.stage: step for step in _flow(page)}
    assert steps["merge"].passed == 40
    assert steps["download"].passed == 35
    assert steps["safety"].passed + sum(steps["safety"].lost) == 35
    assert steps["pack"].passed == 0
    for line in ("Not sealed", "safety: 1 of 2 parts", "captions: nothing yet", "Nothing has been scored yet."):
        assert line in page


def test_the_wall_of_the_captions_is_named_where_the_servers_publish_it(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    fill(store, _archive())
    assert "the wall is" not in _page(store)
    sidecar = read_sidecar(store, CAPTIONS, 0)
    assert sidecar is not None
    figures = {"pictures": 4, "tokens_in": 9, "tokens_out": 9, "seconds": 8.0, "answers": 4, "queued_s": 0.1, "lost": 0}
    phases = {"server_requests": 4, "server_queue_s": 1.0, "server_prefill_s": 2.0, "server_decode_s": 6.0}
    write_sidecar(store, CAPTIONS, replace(sidecar, measured={**figures, "served_s": 40.0, **phases}))
    page = html.unescape(_page(store))
    assert "the wall is preparing (preparing 7.75, waiting 0.25, prefill 0.50, decode 1.50 s)" in page
    assert "servers.api_servers" in page


def test_an_empty_root_still_gets_a_page(tmp_path: Path) -> None:
    page = _page(Store(str(tmp_path / "root")))
    assert "No images have been merged yet." in page
    assert "items: nothing yet" in page


def test_pruned_pictures_are_taken_from_the_shards(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    fill(store, _archive())
    pack(store, _archive())
    store.write_bytes("manifest.json", b"{}")
    before = _page(store)
    for path in store.files("images"):
        store.remove(path)
    after = _page(store)
    assert [step.passed for step in _flow(after)] == [step.passed for step in _flow(before)]
    kept = re.compile(r'id="samples".*?<section', re.S)
    assert re.findall('data:image[^"]+', kept.findall(after)[0]) == re.findall(
        'data:image[^"]+', kept.findall(before)[0]
    )


def test_planted_faults_and_notes_are_shown(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    fill(store, _archive())
    planted = [
        {"kind": "http_404", "planted": 4, "handled": 4, "ended_as": "failed_download"},
        {"kind": "near_copy", "planted": 3, "handled": 2, "ended_as": "repeat"},
    ]
    store.write_bytes("report/extra.json", json.dumps({"notes": ["Drawn <b>scenes</b>."], "planted": planted}).encode())
    page = _page(store)
    assert "Drawn &lt;b&gt;scenes&lt;/b&gt;." in page
    assert page.count("✓ yes") == 1
    assert page.count("✗ no") == 1
    assert "held-out pictures, %" not in page
    store.write_bytes("report/extra.json", b"{")
    assert "report/extra.json could not be read" in _page(store)


def test_a_training_is_shown_before_and_after(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    fill(store, _archive())
    change = {"figure": "image to text, R@1", "chance": 10.0, "before": 12.34, "after": 56.78}
    learned = {"seal": "ab", "steps": 60, "pictures": 1234, "heldout": 77, "changes": [change]}
    store.write_bytes("report/extra.json", json.dumps({"learned": learned}).encode())
    page = _page(store)
    phrases = ("On 77 held-out pictures, %", ">10.0<", ">12.3<", ">56.8<", "60 steps on 1,234 drawn pictures")
    assert not [words for words in phrases if words not in page]
    store.write_bytes("report/extra.json", json.dumps({"learned": learned | {"changes": []}}).encode())
    assert "Too few pictures are held out" in _page(store)


def test_shards_older_than_the_cut_are_called_out(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    archive = _archive()
    pack(store, archive)
    archive[5] = replace(archive[5], stage="cut", kind="taken_down")
    fill(store, archive)
    assert "The shards hold 24 samples, but 23" in _page(store)


def test_equal_roots_give_equal_pages(finished: Store) -> None:
    assert _page(finished) == _page(finished)


@pytest.mark.parametrize(
    "address",
    [None, "", "javascript:alert(1)", "java\nscript:alert(1)", "data:text/html,x", "//host/x", "https://", "ftp://h/x"],
)
def test_only_web_addresses_become_links(address: str | None) -> None:
    assert safe_link(address) is None


def test_licences_are_named_as_people_know_them() -> None:
    names = {"by 2.0": "CC BY 2.0", "by-nc-sa 4.0": "CC BY-NC-SA 4.0", "cc0 1.0": "CC0 1.0", None: "not stated"}
    names |= {"pdm 1.0": "Public Domain Mark 1.0", "Pexels": "Pexels"}
    assert {licence: licence_name(licence) for licence in names} == names
