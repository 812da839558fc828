"""Means of means weigh emotions, images and categories alike; the papers' figures stand as printed."""

import math
import random

import pytest

from editor.evaluation.aggregate import mean_of_means
from editor.evaluation.pairs import Pair
from editor.evaluation.published import ESMI, PUBLISHED, TABLE_4, TABLE_5
from editor.evaluation.scores import SCORED, Scored


def row(category: str, source: str, emotion: str, value: float | None, name: str = "") -> Scored:
    pair = Pair(source=source, edited=f"{source}-{emotion}{name}", emotion=emotion, category=category)
    return Scored(pair=pair, values={"psnr": value})


ROWS = [
    row("face", "a", "joy", 10.0),
    row("face", "a", "joy", 20.0, "-2"),  # a second try: joy of a is 15
    row("face", "a", "fear", 5.0),  # a is 10
    row("face", "b", "joy", 30.0),  # face is 20
    row("bag", "c", "joy", 40.0),  # bag is 40
    row("bag", "c", "fear", None),
    row("bag", "d", "fear", math.inf),
]


def test_each_level_weighs_its_members_alike() -> None:
    assert mean_of_means(ROWS, "psnr") == 30.0


def test_the_order_of_rows_does_not_change_the_last_bit() -> None:
    drawn = random.Random(3)
    rows = [row(f"c{n % 3}", f"s{n % 17}", f"e{n % 27}", drawn.random(), str(n)) for n in range(500)]
    first = mean_of_means(rows, "psnr")
    for _ in range(5):
        drawn.shuffle(rows)
        assert mean_of_means(rows, "psnr") == first


def test_what_is_infinite_counts_only_where_nothing_else_is() -> None:
    assert mean_of_means(ROWS[-2:], "psnr") == math.inf
    assert mean_of_means(ROWS[-2:-1], "psnr") is None and mean_of_means([], "psnr") is None


def test_the_papers_tables_are_whole() -> None:
    names = {column.name for column in SCORED}
    for table in PUBLISHED:
        assert set(table.columns) <= names
        assert all(len(line.figures) == len(table.columns) for line in table.rows)
        assert len({line.method for line in table.rows}) == len(table.rows)
    assert (len(TABLE_4.rows), len(TABLE_5.rows), len(ESMI.rows)) == (11, 6, 10)
    assert TABLE_4.rows[-1].figures == (17.4, 22.19, 94.9, 127.3, 82.2, 16.13)
    assert {line.title: line.figures[0] for line in ESMI.rows}["EmoEditor"] == 51.56


@pytest.mark.parametrize("place", [2, 5])
def test_the_paper_says_itself_where_moodifier_is_best(place: int) -> None:
    best = min if TABLE_4.columns[place] == "lpips" else max
    assert best(TABLE_4.rows, key=lambda line: line.figures[place]).method == "moodifier"
