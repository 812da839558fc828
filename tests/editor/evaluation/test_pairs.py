"""The table of pairs: what is legal, what is refused and where, and how rows are added."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from editor.evaluation.pairs import Pair, add_pairs, adopt_source, read_pairs, write_pairs
from moodarchive.errors import EditError

HEAD = "source,edited,mask,emotion,category,prompt,method\n"
PAIR = Pair(source="s.png", edited="e/joy.png", emotion="joy", mask="m.png", category="face", prompt='a "glad", face')


def test_what_is_written_is_read(tmp_path: Path) -> None:
    other = Pair(source="s.png", edited="e/awe.png", emotion="awe")
    write_pairs(tmp_path, [PAIR, other])
    first = (tmp_path / "pairs.csv").read_bytes()
    assert read_pairs(tmp_path) == [PAIR, other] and other.category == "all"
    write_pairs(tmp_path, [PAIR, other])
    assert (tmp_path / "pairs.csv").read_bytes() == first


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    rows = {"source": ["s.png"], "edited": ["e.png"], "emotion": ["grief"], "mask": [None], "seed": [3]}
    pq.write_table(pa.table(rows), tmp_path / "pairs.parquet")
    assert read_pairs(tmp_path) == [Pair(source="s.png", edited="e.png", emotion="grief")]
    (tmp_path / "pairs.csv").write_text(HEAD)
    with pytest.raises(EditError, match="holds both"):
        read_pairs(tmp_path)


def test_rows_are_added_and_replaced_by_their_edited_picture(tmp_path: Path) -> None:
    add_pairs(tmp_path, [PAIR])
    again = Pair(source="s.png", edited="e/joy.png", emotion="joy", prompt="other")
    add_pairs(tmp_path, [Pair(source="t.png", edited="e/t.png", emotion="fear"), again])
    assert [(pair.edited, pair.prompt) for pair in read_pairs(tmp_path)] == [("e/joy.png", "other"), ("e/t.png", "")]


def test_a_source_from_outside_is_copied_in_by_its_digest(tmp_path: Path) -> None:
    outside = tmp_path / "photo.JPG"
    outside.write_bytes(b"bytes")
    (tmp_path / "dir").mkdir()
    name = adopt_source(tmp_path / "dir", outside)
    assert name == adopt_source(tmp_path / "dir", outside) and name.startswith("sources/") and name.endswith(".jpg")
    assert (tmp_path / "dir" / name).read_bytes() == b"bytes"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("s.png,e.png,,happiness,,,", ("line 3", "happiness", "admiration")),
        ("s.png,,,joy,,,", ("line 3", "edited is empty")),
        ("/etc/passwd,e.png,,joy,,,", ("line 3", "leads out")),
        ("s.png,a/../../e.png,,joy,,,", ("line 3", "leads out")),
        ("s.png,e.png,..\\m.png,joy,,,", ("line 3", "leads out")),
        ("s.png,first.png,,joy,,,", ("line 3", "stands in line 2")),
        ("s.png,e.png,,joy,,,,more", ("line 3", "more values than columns")),
        (f"s.png,e.png,,joy,,{'x' * 10_001},", ("line 3", "10,000 characters")),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, line: str, words: tuple[str, ...]) -> None:
    (tmp_path / "pairs.csv").write_text(f"{HEAD}s.png,first.png,,joy,,,\n{line}\n")
    with pytest.raises(EditError) as told:
        read_pairs(tmp_path)
    assert all(word in str(told.value) for word in words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "holds no pairs.csv"),
        (b"source,edited\ns,e\n", "lacks emotion"),
        (HEAD.encode(), "has no rows"),
        (b"source,edited,emotion\n\xff\xfe,e,joy\n", "cannot be read"),
        (b"", "lacks source"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "pairs.csv").write_bytes(content)
    with pytest.raises(EditError, match=words):
        read_pairs(tmp_path)


def test_a_parquet_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pairs.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(EditError, match=r"pairs.parquet cannot be read"):
        read_pairs(tmp_path)
