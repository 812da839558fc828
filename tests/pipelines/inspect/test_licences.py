"""`moodarchive licences` says what a use may take, what it owes, and to whom; strangers' texts stay texts."""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from moodarchive.errors import ConfigError, DamagedPartError, NotAnArchiveError
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import SCHEMA_VERSION, SELECTION
from pipelines.commands.app import app
from pipelines.inspect.licences import LicenceAnswer, Use, answer_for, show_licences
from shards.pack import ShardSettings
from tests.making import IMAGE_TABLES, Fate, pack_parts, rows_of, write_fates, write_rows
from tests.object_store import BUCKET, ObjectStore, object_store  # noqa: F401  the fixture ``server``

CC = "https://creativecommons.org"
LICENCES = ("by 2.0", "by-sa 4.0", "by-nc 2.0", "by-nd 3.0", "cc0 1.0", None, "pexels")
SETTINGS = ShardSettings(private_sources=("closed",), permitted_sources=("mine",))
HOSTILE = (
    "=HYPERLINK(\"http://evil.test\")", "+1", "-1+1", "@SUM(A1)", "＝1", "\t=1", "a\r\nb,\"c\";d", "| x | y |", "[a](http://evil.test)",
    "![a](http://evil.test/x.png)", "<script>alert(1)</script>", "`code`", "\u202eevil\u2066", "a\\", "# head", "**b**",
    "&lt;b&gt;", "http://evil.test", "x" * 5_000, "é 日本 🙂",
)  # fmt: skip


def _record(store: Store, settings: ShardSettings = SETTINGS) -> None:
    whole = {"shards": settings.model_dump(mode="json")}
    text = json.dumps({"schema_version": SCHEMA_VERSION, "per_row": {}, "whole_table": whole})
    store.write_bytes("settings.json", text.encode())


def _fates(source: str = "openverse", first: int = 0) -> list[Fate]:
    return [Fate(number=first + n, licence=licence, source=source) for n, licence in enumerate(LICENCES)]


def _write(store: Store, part: int, fates: Sequence[Fate]) -> None:
    """The licence of each fate under its true address."""
    rows = sorted((fate.rows() for fate in fates), key=lambda row: str(row["items"]["key"]))
    for row in rows:
        name = row["items"]["licence"]
        if name in ("pexels", "cc0 1.0"):
            row["items"]["licence_url"] = {"pexels": None, "cc0 1.0": f"{CC}/publicdomain/zero/1.0/"}[name]
    for table in IMAGE_TABLES:
        write_rows(store, table, part, [row[table.name] for row in rows])


@pytest.fixture
def packed(store: Store) -> Store:
    """Every licence from an open, a closed and a permitted source, in a part each."""
    _record(store)
    for part, source in enumerate(("openverse", "closed", "mine")):
        _write(store, part, _fates(source, 10 * part))
    pack_parts(store, (0, 1, 2), SETTINGS)
    return store


def _allowed(answer: LicenceAnswer) -> dict[str, int]:
    allowed: dict[str, int] = {}
    for count in answer.licences:
        if count.why_not is None:
            allowed[count.licence] = allowed.get(count.licence, 0) + count.samples
    return allowed


def _shown(store: Store, use: Use, **options: str) -> str:
    console = Console(file=io.StringIO(), width=300)
    show_licences(store, use, console, **options)  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_commercial_training_takes_what_may_be_used_for_profit_and_trained_on(packed: Store) -> None:
    answer = answer_for(packed, Use.COMMERCIAL_TRAINING)
    assert (answer.basis, answer.samples) == ("shards", 21)
    assert _allowed(answer) == {"by 2.0": 3, "by-sa 4.0": 3, "cc0 1.0": 3} and answer.allowed == 9
    why = {count.licence: count.why_not for count in answer.licences if count.why_not}
    assert why == {
        "by-nc 2.0": "not for profit", "by-nd 3.0": "no training", "pexels": "no training",
        "unknown": "unknown licence",
    }  # fmt: skip
    # those of the closed source lie in private shards
    assert answer.obligations == {"attribution": 6, "share-alike": 3, "private": 3}


def test_redistribution_takes_what_lies_in_public_shards(packed: Store) -> None:
    answer = answer_for(packed, Use.REDISTRIBUTION)
    assert _allowed(answer) == {"by 2.0": 2, "by-sa 4.0": 2, "cc0 1.0": 2, "unknown": 1, "pexels": 1}
    assert {shard.shard: (shard.samples, shard.allowed) for shard in answer.shards} == {
        "shards/private/00000.tar": (4, 0), "shards/train/00000.tar": (3, 3), "shards/private/00001.tar": (7, 0),
        "shards/private/00002.tar": (2, 0), "shards/train/00002.tar": (5, 5),
    }  # fmt: skip
    assert answer.obligations == {"attribution": 5, "share-alike": 2, "permission": 2}
    assert "by the terms of its source" in {count.why_not for count in answer.licences}
    assert answer.misplaced == answer.unpacked == 0


def test_adaptation_takes_nc_for_what_is_not_for_profit_and_no_nd(packed: Store) -> None:
    answer = answer_for(packed, Use.ADAPTATION)
    assert set(_allowed(answer)) == {"by 2.0", "by-sa 4.0", "by-nc 2.0", "cc0 1.0", "pexels"}
    assert answer.obligations["non-commercial"] == 3


def test_a_picture_that_is_private_for_another_reason_may_not_be_passed_on(store: Store) -> None:
    _record(store)
    rows = Fate(number=0).rows()
    rows["safety"]["verdict"] = "doubtful"
    for table in IMAGE_TABLES:
        write_rows(store, table, 0, [rows[table.name]])
    pack_parts(store, [0], SETTINGS)
    answer = answer_for(store, Use.REDISTRIBUTION)
    assert [count.why_not for count in answer.licences] == ["in a private shard"]


def test_samples_that_another_rule_made_public_are_named_with_the_remedy(store: Store) -> None:
    _record(store, ShardSettings())
    write_fates(store, 0, [Fate(number=0, licence=None), Fate(number=1)])
    pack_parts(store, [0], ShardSettings(permitted_sources=("openverse",)))
    answer = answer_for(store, Use.REDISTRIBUTION)
    assert (answer.allowed, answer.misplaced) == (1, 1)
    text = _shown(store, Use.REDISTRIBUTION)
    assert "1 samples lie in public shards and may not" in text and "remedy: moodarchive run" in text


def test_a_half_built_root_is_answered_for_by_what_it_has(store: Store) -> None:
    with pytest.raises(NotAnArchiveError):
        answer_for(store, Use.REDISTRIBUTION)
    _record(store)
    assert "0 images found, none judged yet" in _shown(store, Use.REDISTRIBUTION)
    _write(store, 0, [*_fates(), Fate(number=8, reason="low_score")])
    kept = rows_of(store, SELECTION, 0)
    store.remove(f"{SELECTION.name}/00000.json")
    answer = answer_for(store, Use.COMMERCIAL_TRAINING)
    assert (answer.basis, answer.samples, answer.allowed) == ("found", 8, 4)
    write_rows(store, SELECTION, 0, kept)
    answer = answer_for(store, Use.COMMERCIAL_TRAINING)
    assert (answer.basis, answer.samples, answer.allowed, answer.shards) == ("kept", 7, 3, ())
    assert "7 kept images, in no shard yet" in _shown(store, Use.REDISTRIBUTION)
    pack_parts(store, [0], SETTINGS)
    _write(store, 1, _fates(first=20))
    answer = answer_for(store, Use.COMMERCIAL_TRAINING)
    assert (answer.basis, answer.samples, answer.unpacked) == ("shards", 7, 7)
    assert "7 more images are kept and lie in no shard yet" in _shown(store, Use.COMMERCIAL_TRAINING)


def test_the_lists_name_every_sample_once_and_always_with_the_same_bytes(packed: Store, tmp_path: Path) -> None:
    credit, samples = tmp_path / "credit.csv", tmp_path / "samples.csv"
    _shown(packed, Use.REDISTRIBUTION, attribution=str(credit), samples=str(samples))
    first = credit.read_bytes(), samples.read_bytes()
    _shown(packed, Use.REDISTRIBUTION, attribution=str(credit), samples=str(samples))
    assert (credit.read_bytes(), samples.read_bytes()) == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["credit.csv", "root", "samples.csv"]
    credits, listed = (list(csv.DictReader(path.open(newline=""))) for path in (credit, samples))
    assert len({row["key"] for row in listed}) == len(listed) == 21
    assert {row["key"] for row in listed if row["allowed"] == "true"} == {row["key"] for row in credits}
    row = next(row for row in credits if row["licence"] == "by-sa 4.0")
    assert row["licence_url"] == f"{CC}/licenses/by-sa/4.0/" and row["shard"] == "shards/train/00000.tar"
    assert (
        re.fullmatch(r"Title \d+", row["title"])
        and row["creator"]
        and row["landing_page"].startswith("http://stock.test")
    )


def _hostile(store: Store) -> None:
    _record(store)
    rows = [fate.rows() for fate in (Fate(number=n) for n in range(len(HOSTILE)))]
    for row, text in zip(rows, HOSTILE, strict=True):
        row["items"] |= {"title": text, "creator": text, "landing_url": f"javascript:{text}"}
    rows[0]["items"]["landing_url"] = "https://commons.example/wiki/File:A_(b)_d'é.jpg"
    rows[1]["items"]["landing_url"] = "https://x.example/> [a](b)"
    rows.sort(key=lambda row: str(row["items"]["key"]))
    for table in IMAGE_TABLES:
        write_rows(store, table, 0, [row[table.name] for row in rows])
    pack_parts(store, [0], SETTINGS)


def test_a_stranger_s_text_is_no_formula_and_no_second_row_in_csv(store: Store, tmp_path: Path) -> None:
    _hostile(store)
    path = tmp_path / "credit.csv"
    _shown(store, Use.REDISTRIBUTION, attribution=str(path))
    text = path.read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(HOSTILE) == text.count("\n") - 1
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text)
    for row in rows:
        assert row["title"][:1] not in "=+-@＝" and len(row["title"]) <= 1_001
    assert {row["landing_page"] for row in rows} == {"", "https://commons.example/wiki/File:A_(b)_d'é.jpg"}
    assert "é 日本 🙂" in {row["creator"] for row in rows}


def test_a_stranger_s_text_is_no_markup_in_markdown(store: Store, tmp_path: Path) -> None:
    from markdown_it import MarkdownIt

    _hostile(store)
    path = tmp_path / "credit.md"
    _shown(store, Use.REDISTRIBUTION, attribution=str(path))
    assert len(path.read_text().splitlines()) == len(HOSTILE) + 2
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(path.read_text())
    assert html.count("<tr>") == len(HOSTILE) + 1 and html.count("<td>") == 5 * len(HOSTILE)
    tags = set(re.findall(r"</?([a-z0-9]+)", html))
    assert tags == {"table", "thead", "tbody", "tr", "th", "td", "a", "code"}
    links = set(re.findall(r'href="([^"]*)"', html))
    assert links == {f"{CC}/licenses/by/2.0/", "https://commons.example/wiki/File:A_(b)_d'%C3%A9.jpg"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("root/credit.csv", "lies in the archive"),
        ("credit.txt", "ends in neither"),
        ("none/credit.csv", "is no folder"),
    ],
)
def test_a_list_that_cannot_be_written_is_refused_before_anything_is_read(
    packed: Store, tmp_path: Path, name: str, said: str
) -> None:
    before = packed.files()
    with pytest.raises(ConfigError, match=said):
        show_licences(packed, Use.ADAPTATION, Console(file=io.StringIO()), attribution=str(tmp_path / name))
    assert packed.files() == before


@pytest.mark.parametrize("damage", [None, b"PAR1 not really"])
def test_a_file_that_is_missing_or_damaged_is_named_with_the_remedy(packed: Store, damage: bytes | None) -> None:
    packed.remove("shards/train/00000.parquet")
    if damage:
        packed.write_bytes("shards/train/00000.parquet", damage)
    with pytest.raises(DamagedPartError, match=r"00000.parquet.*; remedy: moodarchive verify"):
        answer_for(packed, Use.REDISTRIBUTION)


def test_the_command_prints_json_that_names_every_shard(packed: Store) -> None:
    done = CliRunner().invoke(app, ["licences", packed.root, "--for", "redistribution", "--json"])
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert (told["use"], told["samples"], told["allowed"]) == ("redistribution", 21, 8)
    assert len(told["shards"]) == 5
    assert CliRunner().invoke(app, ["licences", packed.root, "--for", "profit"]).exit_code == 2
    assert CliRunner().invoke(app, ["licences", packed.root]).exit_code == 2


def test_an_archive_on_an_object_store_is_answered_for_alike(
    packed: Store, server: ObjectStore, tmp_path: Path
) -> None:
    remote = Store(f"s3://{BUCKET}/licences")
    for path in packed.files():
        remote.write_bytes(path, packed.read_bytes(path))
    for use in Use:
        assert answer_for(remote, use) == answer_for(packed, use)
    paths = [tmp_path / f"{n}.csv" for n in range(2)]
    for store, path in zip((packed, remote), paths, strict=True):
        _shown(store, Use.REDISTRIBUTION, attribution=str(path))
    assert paths[0].read_bytes() == paths[1].read_bytes()
