"""Rounds ask no query twice and their parts follow one another; descriptors are balanced and recorded once."""

import pytest

from crawl.phrases.descriptors import PHRASES, DescriptorSettings, make_queries, read_lexicon_phrases, write_descriptors
from crawl.phrases.phrases import Phrase
from crawl.rounds.rounds import QUERIES_PER_PART, mark_merged, open_round, query_groups, read_round, read_rounds
from crawl.source import Query
from moodarchive.emotions.lexicon import load_lexicon
from moodarchive.emotions.taxonomy import CONTEXTS, EMOTIONS, Cell
from moodarchive.errors import ConfigError
from moodarchive.settings import load
from moodarchive.storage.store import Store
from moodarchive.tables.parts import read_sidecar
from moodarchive.tables.schemas import DESCRIPTORS
from tests.making import rows_of


def _queries(count: int, source: str = "openverse", first: int = 0) -> list[Query]:
    return [
        Query(source=source, emotion="joy", context="natural_scenery", phrase=f"phrase {i}", results=10)
        for i in range(first, first + count)
    ]


def _phrases(**of_emotion: tuple[str, ...]) -> PHRASES:
    return {Cell(emotion, "urban_scenery"): tuple(map(Phrase, texts)) for emotion, texts in of_emotion.items()}


def test_rounds_ask_every_query_once_and_then_end(store: Store) -> None:
    wanted = _queries(25)
    asked: list[Query] = []
    while record := open_round(store, read_rounds(store), wanted, {}, 10):
        asked += record.queries
    assert asked == wanted
    assert [len(record.queries) for record in read_rounds(store)] == [10, 10, 5]


def test_a_later_round_asks_only_what_is_new(store: Store) -> None:
    open_round(store, [], _queries(5), {}, 100)
    record = open_round(store, read_rounds(store), _queries(5, first=3), {}, 100)
    assert record is not None
    assert [query.phrase for query in record.queries] == ["phrase 5", "phrase 6", "phrase 7"]


def test_a_record_is_read_back_as_written(store: Store) -> None:
    record = open_round(store, [], _queries(3), {"merge": {"rows_per_part": 7}}, 100)
    assert record == read_round(store, 0) == read_rounds(store)[0]
    assert record is not None and not record.merged
    assert mark_merged(store, record, 4) == read_round(store, 0)
    assert (read_round(store, 0).merged, read_round(store, 0).image_parts) == (True, range(0, 4))


def test_parts_of_rounds_follow_one_another(store: Store) -> None:
    first = open_round(store, [], _queries(QUERIES_PER_PART + 1) + _queries(3, "pexels"), {}, 1000)
    assert first is not None
    assert first.candidates_parts == range(0, 3)
    mark_merged(store, first, 7)
    second = open_round(store, read_rounds(store), _queries(5, first=500), {}, 1000)
    assert second is not None
    assert (second.number, second.candidates_parts) == (1, range(3, 4))
    assert mark_merged(store, second, 2).image_parts == range(7, 9)


def test_a_group_of_queries_is_of_one_source_and_a_hundred_at_most() -> None:
    mixed = [query for pair in zip(_queries(150), _queries(150, "pexels"), strict=True) for query in pair]
    groups = query_groups(mixed)
    assert [len(group) for group in groups] == [100, 50, 100, 50]
    assert all(len({query.source for query in group}) == 1 for group in groups)
    assert sorted((q.source, q.phrase) for group in groups for q in group) == sorted(
        (q.source, q.phrase) for q in mixed
    )


def test_phrases_are_the_first_of_the_lexicon_for_the_chosen_cells() -> None:
    settings = DescriptorSettings(emotions=("joy", "fear"), contexts=("urban_scenery",), phrases_per_cell=3)
    lexicon = load_lexicon()
    cells = [Cell("joy", "urban_scenery"), Cell("fear", "urban_scenery")]
    assert read_lexicon_phrases(settings) == {cell: tuple(map(Phrase, lexicon[cell][:3])) for cell in cells}
    assert set(read_lexicon_phrases(DescriptorSettings())) == {Cell(e, c) for e in EMOTIONS for c in CONTEXTS}


def test_a_round_cut_short_is_balanced() -> None:
    queries = make_queries(read_lexicon_phrases(DescriptorSettings(phrases_per_cell=4)), "openverse", 50)
    cells = len(EMOTIONS) * len(CONTEXTS)
    assert len(set(queries)) == len(queries) == 4 * cells
    for most in (1, cells - 1, cells, cells + 1, 3 * cells + 5):
        counts = [
            sum((q.emotion, q.context) == cell for q in queries[:most])
            for cell in read_lexicon_phrases(DescriptorSettings())
        ]
        assert max(counts) - min(counts) <= 1


def test_cells_of_unequal_length_lose_no_phrase() -> None:
    phrases = _phrases(joy=("a", "b", "c"), fear=("d",))
    assert [query.phrase for query in make_queries(phrases, "openverse", 5)] == ["a", "d", "b", "c"]


def test_each_round_records_its_fresh_phrases_only(store: Store) -> None:
    phrases, more = _phrases(joy=("b", "a"), fear=("a",)), _phrases(joy=("b", "c", "a"))
    write_descriptors(store, 0, tuple(make_queries(phrases, "openverse", 5)), "s")
    write_descriptors(store, 1, tuple(make_queries(more, "openverse", 9)), "s")
    rows = [[(r["emotion"], r["context"], r["phrase"]) for r in rows_of(store, DESCRIPTORS, part)] for part in (0, 1)]
    first = [("fear", "urban_scenery", "a"), ("joy", "urban_scenery", "a"), ("joy", "urban_scenery", "b")]
    assert rows == [first, [("joy", "urban_scenery", "c")]]


def test_recorded_descriptors_are_left_alone(store: Store) -> None:
    write_descriptors(store, 0, tuple(_queries(2)), "s")
    done = read_sidecar(store, DESCRIPTORS, 0)
    write_descriptors(store, 0, tuple(_queries(9)), "other")
    assert read_sidecar(store, DESCRIPTORS, 0) == done


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('emotions = ["joy", "hunger"]', "'hunger' is no emotion; legal: admiration"),
        ('contexts = ["sea"]', "'sea' is no context; legal: facial_expressions"),
        ("emotions = []", "at least one emotion"),
        ('emotions = ["joy", "joy"]', "none twice"),
        ("phrases_per_cell = 0", "phrases_per_cell = 0"),
    ],
)
def test_a_bad_choice_is_explained(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(DescriptorSettings, text, "a.toml")
    assert said in str(caught.value)
