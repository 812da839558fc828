"""BM25 of all phrases at once: as plain Python computes it, however rows are divided."""

import math
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawl.catalogues import words
from crawl.catalogues.ranking import Matches, merge_matches, no_matches, number_rows
from crawl.catalogues.words import Vocabulary, WordStatistics, count_words, no_words, score_words
from moodarchive.emotions.lexicon import load_lexicon

EXAMPLES = settings(deadline=None, derandomize=True, database=None, max_examples=100)
PHRASES = ("crying child", "old man on bench", "child's red balloon", "sad old dog at window", "to be or not")
SAID = [
    "Crying",
    "cries",
    "CHILD",
    "childs",
    "old",
    "men",
    "man",
    "bench",
    "red.",
    "balloons",
    "dog",
    "a",
    "on",
    "café",
]
TEXTS = st.lists(st.none() | st.lists(st.sampled_from(SAID), max_size=12).map(" ".join), max_size=25)


def split_at(texts: list[str | None], cuts: list[int]) -> list[tuple[np.ndarray, pa.Array]]:
    bounds = sorted({0, len(texts), *(cut for cut in cuts if cut < len(texts))})
    return [(np.arange(first, last), pa.array(texts[first:last], pa.string())) for first, last in pairwise(bounds)]


def match(phrases: tuple[str, ...], texts: list[str | None], floor: float = 0.0, most: int = 100) -> Matches:
    vocabulary, array = Vocabulary(phrases), pa.array(texts, pa.string())
    statistics = count_words(vocabulary, [array])
    return score_words(vocabulary, statistics, [(np.arange(len(texts)), array)], most, floor)


def plain_bm25(phrases: tuple[str, ...], texts: list[str | None], floor: float) -> dict[tuple[int, int], float]:
    """Robertson's formula, one word at a time; stems from the vocabulary, words by str.split."""
    stem_of = {word: Vocabulary([word]).stems_of_phrase[0][0] for word in SAID}
    rows = [[stem_of[word] for word in (text or "").split()] for text in texts]
    average = sum(map(len, rows)) / max(len(rows), 1) or 1
    scores = {}
    for number, stems in enumerate(Vocabulary(phrases).stems_of_phrase):
        with_stem = {stem: sum(stem in row for row in rows) for stem in stems}
        weight = {
            stem: max(round(4096 * math.log(1 + (len(rows) - n + 0.5) / (n + 0.5))), 1) / 4096
            for stem, n in with_stem.items()
        }
        for index, row in enumerate(rows):
            met = [stem for stem in stems if stem in row]
            required = sum(weight[stem] * min(with_stem[stem] / words.ROWS_TO_REQUIRE, 1) for stem in stems)
            if met and sum(weight[stem] for stem in met) >= floor * required:
                scores[number, index] = sum(
                    round(
                        4096 * weight[stem] * row.count(stem) * 2.2
                        / (row.count(stem) + 1.2 * (0.25 + 0.75 * len(row) / average))
                    )
                    for stem in met
                ) / 4096  # fmt: skip
    return scores


@pytest.fixture(autouse=True)
def every_word_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "ROWS_TO_REQUIRE", 1)  # lists of tests are short


@EXAMPLES
@given(TEXTS, st.sampled_from([0.0, 0.3, 0.5, 0.75, 1.0]), st.sampled_from([1, 3, 20]))
def test_scores_are_those_of_plain_bm25(texts, floor, rows_to_require) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words, "ROWS_TO_REQUIRE", rows_to_require)
        found = match(PHRASES, texts, floor)
        expected = plain_bm25(PHRASES, texts, floor)
    pairs = list(zip(found.phrase.tolist(), found.row.tolist(), strict=True))
    assert set(pairs) == set(expected)
    assert found.fitted.tolist() == np.bincount(found.phrase, minlength=len(PHRASES)).tolist()
    assert found.score.tolist() == pytest.approx([expected[pair] for pair in pairs], abs=6 / 4096)
    assert pairs == sorted(pairs, key=lambda pair: (pair[0], -found.score[pairs.index(pair)], pair[1]))


@EXAMPLES
@given(TEXTS, st.lists(st.integers(0, 25)), st.integers(1, 4), st.integers(1, 40))
def test_the_answer_does_not_depend_on_blocks_or_files(texts, cuts, most, bytes_at_once) -> None:
    vocabulary = Vocabulary(PHRASES)
    whole = match(PHRASES, texts, 0.3, most)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words, "_BYTES_AT_ONCE", bytes_at_once)
        parts = split_at(texts, cuts)
        statistics = sum((count_words(vocabulary, [block]) for _, block in parts), no_words(vocabulary))
        each = [score_words(vocabulary, statistics, [part], most, 0.3) for part in parts]
        divided = merge_matches([no_matches(len(PHRASES)), *each[::-1]], most)
    assert divided.phrase.tolist() == whole.phrase.tolist()
    assert divided.row.tolist() == whole.row.tolist()
    assert divided.score.tobytes() == whole.score.tobytes()
    assert divided.fitted.tolist() == whole.fitted.tolist()


def test_tantivy_scores_rows_alike() -> None:
    import tantivy

    random = np.random.default_rng(0)
    lengths = random.integers(1, 30, 400)  # it stores lengths exactly up to 39
    texts = [" ".join(f"w{number}" for number in random.geometric(0.05, length)) for length in lengths]
    phrases = ("w1 w2", "w30 w3 w60", "w7", "w44 w8 w2 w1", "w999 w12")
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("text", tokenizer_name="whitespace", index_option="freq")
    builder.add_integer_field("row", stored=True)
    schema = builder.build()
    index = tantivy.Index(schema)
    writer = index.writer(num_threads=1)
    for row, text in enumerate(texts):
        writer.add_document(tantivy.Document(text=text, row=row))
    writer.commit()
    index.reload()
    searcher = index.searcher()
    found = match(phrases, texts, most=400)
    for number, phrase in enumerate(phrases):
        terms = [tantivy.Query.term_query(schema, "text", word, "freq") for word in phrase.split()]
        query = tantivy.Query.boolean_query([(tantivy.Occur.Should, term) for term in terms])
        theirs = {searcher.doc(hit)["row"][0]: score for score, hit in searcher.search(query, limit=400).hits}
        of_phrase = found.phrase == number
        ours = dict(zip(found.row[of_phrase].tolist(), found.score[of_phrase].tolist(), strict=True))
        assert theirs and ours == pytest.approx(theirs, abs=4 / 4096)


def test_case_accents_apostrophes_and_endings_do_not_matter() -> None:
    texts = ["CHILDREN’S cafés—closed", "child's Cafe", "a childs CAFE\u0301", "ｃａｆｅ　ｃｈｉｌｄｓ", "the caf"]
    assert match(("childs cafe",), texts, floor=1.0).row.tolist() == [1, 3, 0, 2]
    assert match(("closed cafe",), texts, floor=1.0).row.tolist() == [0]
    assert match(("man with leaf",), ["men, leaves", "manly"], floor=1.0).row.tolist() == [0]


def test_digits_are_words_and_underscores_and_hyphens_separate() -> None:
    assert match(("year 1969",), ["img_1969-year.jpg", "19690 years"], floor=1.0).row.tolist() == [0]


def test_a_phrase_of_function_words_alone_is_still_matched_by_them() -> None:
    assert match(("to and from",), ["to from and", "nothing else"], floor=1.0).row.tolist() == [0]


def test_function_words_of_a_phrase_find_nothing() -> None:
    assert match(("man on bench",), ["a cat on a chair", "the bench"], floor=0.0).row.tolist() == [1]


def test_a_word_that_hardly_any_row_has_is_not_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "ROWS_TO_REQUIRE", 20)
    texts = ["old dog"] * 25 + ["urn"] + ["cat"] * 300
    assert match(("old dog with urn",), texts, floor=0.9).row.tolist() == [25, *range(25)]
    assert match(("old dog with tortoise",), texts, floor=1.0).fitted.tolist() == [25]
    monkeypatch.setattr(words, "ROWS_TO_REQUIRE", 1)
    assert len(match(("old dog with urn",), texts, floor=0.9)) == 0


@pytest.mark.skipif("MOODARCHIVE_CAPTIONS" not in os.environ, reason="MOODARCHIVE_CAPTIONS names no file of captions")
def test_real_captions_answer_three_quarters_of_the_phrases(monkeypatch: pytest.MonkeyPatch) -> None:
    # image and caption a line, parted by a comma or a tab, as Flickr8k and Flickr30k are published
    monkeypatch.setattr(words, "ROWS_TO_REQUIRE", 20)
    said: dict[str, list[str]] = {}
    for line in Path(os.environ["MOODARCHIVE_CAPTIONS"]).read_text("utf-8").splitlines():
        image, _, caption = line.replace(",", "\t", 1).partition("\t") if "\t" not in line else line.partition("\t")
        said.setdefault(image.partition("#")[0], []).append(caption)
    phrases = tuple(phrase for several in load_lexicon().values() for phrase in several)
    fitted = match(phrases, [" ".join(captions) for captions in said.values()], words.FLOOR, 2000).fitted
    nothing = [phrase for phrase, rows in zip(phrases, fitted, strict=True) if not rows]
    assert len(nothing) <= len(phrases) / 4, f"{len(nothing)} phrases find nothing: {nothing}"


@pytest.mark.parametrize("texts", [[], [None], ["", "  ", "—"], [None, "!!"]])
def test_rows_without_words_are_rows_of_length_zero(texts: list[str | None]) -> None:
    statistics = count_words(Vocabulary(PHRASES), [pa.array(texts, pa.string())])
    assert (statistics.rows, statistics.words) == (len(texts), 0)
    assert len(match(PHRASES, texts)) == 0


def test_a_block_of_which_no_row_is_chosen_is_none() -> None:
    texts = pa.array(["crying child", None]).filter(pa.array([False, False]))
    for block in (texts, pa.chunked_array([texts, texts]), pa.chunked_array([], pa.string())):
        assert count_words(Vocabulary(PHRASES), [block]).rows == 0


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_every_kind_of_text_array_is_read(kind: pa.DataType) -> None:
    texts = pa.array(["x", None, "a crying child", "old man"], pa.string()).cast(kind)[1:]
    vocabulary = Vocabulary(PHRASES[:1])
    chunked = pa.chunked_array([texts[:1], texts[1:]])
    statistics = count_words(vocabulary, [chunked])
    assert (statistics.rows, statistics.words) == (3, 5)
    assert score_words(vocabulary, statistics, [(np.arange(3), chunked)], 1, 1.0).row.tolist() == [1]


def test_a_text_of_megabytes_is_cut() -> None:
    start = "crying child " + "x" * (words.LONGEST_TEXT - 13)
    texts = [start + " balloon " * 10**6, "é" * 10**6 + " balloon"]
    vocabulary = Vocabulary(("crying child", "red balloon"))
    statistics = count_words(vocabulary, [pa.array(texts)])
    assert (statistics.rows, statistics.words) == (2, 4)
    assert match(vocabulary.phrases, texts).row.tolist() == [0]


def test_bytes_that_are_no_unicode_do_not_stop_a_list() -> None:
    broken = pa.array([b"crying \xff\xfe child", b"\xc3"]).cast(pa.binary()).view(pa.string())
    vocabulary = Vocabulary(PHRASES[:1])
    statistics = count_words(vocabulary, [broken])
    assert score_words(vocabulary, statistics, [(np.arange(2), broken)], 9, 1.0).row.tolist() == [0]


def test_row_numbers_come_back_as_they_were_given() -> None:
    vocabulary, texts = Vocabulary(PHRASES[:1]), pa.array(["crying child", "crying child"])
    statistics = count_words(vocabulary, [texts])
    rows = number_rows(3, [7, 2])
    assert score_words(vocabulary, statistics, [(rows, texts)], 5).row.tolist() == [3 * 2**40 + 2, 3 * 2**40 + 7]


def test_statistics_of_different_vocabularies_do_not_add() -> None:
    with pytest.raises(ValueError, match="vocabular"):
        no_words(Vocabulary(PHRASES)) + WordStatistics(1, 1, np.zeros(1, np.int64))
