"""Rows ranked by the words of their descriptions: BM25 with the words of all phrases at once.

Two passes: ``count_words`` over every file and the sum of its results, then ``score_words`` over every file with
that sum. Both go over files in any portions: a row's score depends on the row and the sum alone.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crawl.catalogues.ranking import Cutoffs, Matches, TopRows

K1, B = 1.2, 0.75
"""How soon a repeated word counts no more, and how much a long text counts less: the usual values of BM25."""
LONGEST_TEXT = 16_384
"""Bytes of a row's text that count; what follows is not read."""
FLOOR = 0.5
"""The least share of a phrase's word weight that a row must meet."""
ROWS_TO_REQUIRE = 20
"""A word that fewer rows have is required in proportion, one that no row has not at all: else nothing would fit."""
_STEP = 4096.0
"""Weights are multiples of 1 / 4096, so that float32 holds their sums exactly, in whatever order they are added."""
_BYTES_AT_ONCE, _ROWS_AT_ONCE = 2**22, 2**15
_FUNCTION_WORDS = (
    "a about above after against along among an and are around as at away be before behind below beneath beside "
    "between beyond by down during for from he her his if in inside into is it its near of off on onto or out outside "
    "over she so such than that the their them then there these they this those through to toward towards under up "
    "upon was were while with within"
)
_UNSAID = frozenset(_FUNCTION_WORDS.split())
"""Words of a phrase that do not count: function words, which say nothing about what a picture shows."""
_SINGULAR = {
    "children": "child", "childrens": "child", "men": "man", "mens": "man", "women": "woman", "womens": "woman",
    "feet": "foot", "teeth": "tooth", "geese": "goose", "mice": "mouse", "leaves": "leaf", "wolves": "wolf",
    "knives": "knife", "shelves": "shelf", "scarves": "scarf", "loaves": "loaf", "hooves": "hoof", "calves": "calf",
    "thieves": "thief", "wives": "wife", "halves": "half",
}  # fmt: skip
"""Plurals that the stemmer does not know."""
_SEPARATES, _BELONGS, _VANISHES = 0, 1, 2
_CLASS = np.array(
    [_BELONGS if byte >= 128 or chr(byte).isalnum() else _SEPARATES for byte in range(256)], np.uint8
)  # fmt: skip
_CLASS[ord("'")] = _VANISHES  # a child's is a childs, as in the phrases
_SMALL = np.array([ord(chr(byte).lower()) if byte < 128 else byte for byte in range(256)], np.uint8)
Texts: TypeAlias = pa.Array | pa.ChunkedArray


class Vocabulary:
    """The stems of the phrases' words, and which phrase has which. Phrases are numbered as they come."""

    def __init__(self, phrases: Sequence[str]) -> None:
        self.phrases = tuple(phrases)
        self.stems_of_phrase = tuple(map(_stem_phrase, self.phrases))
        self.stems = tuple(sorted({stem for stems in self.stems_of_phrase for stem in stems}))

    @cached_property
    def known_stems(self) -> pa.Array:
        """The stems, as Arrow has them."""
        return pa.array(self.stems, pa.string())

    @cached_property
    def phrases_of_stem(self) -> Any:
        """Sparse [stems, phrases]: 1 where the phrase has the stem."""
        from scipy.sparse import csr_array

        number = {stem: index for index, stem in enumerate(self.stems)}
        stems = [number[stem] for stems in self.stems_of_phrase for stem in stems]
        phrases = np.repeat(np.arange(len(self.phrases)), [len(stems) for stems in self.stems_of_phrase])
        shape = (len(self.stems), len(self.phrases))
        return csr_array(
            (np.ones(len(stems), np.float32), (np.array(stems, np.int32), phrases.astype(np.int32))), shape=shape
        )


@dataclass(frozen=True, eq=False)
class WordStatistics:
    """What BM25 must know of all rows before it can score one; the sum over files is that of the list."""

    rows: int
    words: int
    """Of all rows together, those that no phrase has included."""
    rows_with_stem: NDArray[np.int64]
    """For each stem of the vocabulary."""

    def __add__(self, other: "WordStatistics") -> "WordStatistics":
        if len(self.rows_with_stem) != len(other.rows_with_stem):
            raise ValueError("statistics of two different vocabularies cannot be added")
        return WordStatistics(
            self.rows + other.rows, self.words + other.words, self.rows_with_stem + other.rows_with_stem
        )

    @property
    def required(self) -> NDArray[np.float64]:
        """Of each stem: how much of its weight a row is measured by."""
        return np.asarray(self.weights * np.minimum(self.rows_with_stem / ROWS_TO_REQUIRE, 1))

    @property
    def weights(self) -> NDArray[np.float64]:
        """Of each stem: its inverse document frequency, ln(1 + (N - n + 0.5) / (n + 0.5)), in steps, at least one."""
        with_stem = self.rows_with_stem
        weights = np.log1p((self.rows - with_stem + 0.5) / (with_stem + 0.5))
        return np.asarray(np.maximum(np.rint(weights * _STEP), 1) / _STEP)


def no_words(vocabulary: Vocabulary) -> WordStatistics:
    """The statistics of no rows, from which a sum begins."""
    return WordStatistics(0, 0, np.zeros(len(vocabulary.stems), np.int64))


def count_words(vocabulary: Vocabulary, texts: Iterable[Texts]) -> WordStatistics:
    """The statistics of blocks of texts; a null is a row of no words."""
    statistics = no_words(vocabulary)
    for block in texts:
        for _, counts in _count_blocks(vocabulary, block):
            with_stem = np.bincount(counts.stems.indices, minlength=len(vocabulary.stems))
            statistics += WordStatistics(len(counts.words), int(counts.words.sum()), with_stem)
    return statistics


def score_words(
    vocabulary: Vocabulary,
    statistics: WordStatistics,
    blocks: Iterable[tuple[NDArray[np.integer], Texts]],
    most: int,
    floor: float = FLOOR,
    *,
    cutoffs: Cutoffs | None = None,
) -> Matches:
    """The ``most`` best rows of each phrase by BM25, out of blocks of row numbers and texts.

    Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009. ``statistics`` are those of
    the whole list. A row must have at least one of the phrase's words, and words of at least ``floor`` (0 to 1) of the
    weight that the phrase's words require (``WordStatistics.required``). ``cutoffs`` of other rows
    (Matches.find_cutoffs) spare what could not be among the best of both.
    """
    weights = statistics.weights
    needed = floor * (statistics.required @ vocabulary.phrases_of_stem)
    average = statistics.words / max(statistics.rows, 1) or 1.0
    best = TopRows(len(vocabulary.phrases), most, cutoffs)
    for rows, texts in blocks:
        for first, counts in _count_blocks(vocabulary, texts):
            scores = _score_block(counts, vocabulary, weights, average)
            phrase = scores.indices
            row = np.repeat(np.arange(first, first + len(counts.words)), np.diff(scores.indptr))
            kept = scores.data.imag >= needed[phrase]
            best.fitted += np.bincount(phrase[kept], minlength=len(vocabulary.phrases))
            best.add(phrase[kept], rows[row[kept]].astype(np.uint64), scores.data.real[kept])
    return best.result()


class _Counts(NamedTuple):
    words: NDArray[np.int64]
    """Of each row."""
    stems: Any
    """Sparse [rows, stems]: how often a row has a stem of the vocabulary."""


def _score_block(counts: _Counts, vocabulary: Vocabulary, weights: NDArray[np.float64], average: float) -> Any:
    """Sparse [rows, phrases]: the real part is the score, the imaginary part the weight of the stems that are met."""
    times, stem = counts.stems.data, counts.stems.indices
    row = np.repeat(np.arange(len(counts.words)), np.diff(counts.stems.indptr))
    saturation = K1 * (1 - B + B * counts.words[row] / average)
    score = np.rint(weights[stem] * times * (K1 + 1) / (times + saturation) * _STEP) / _STEP
    terms = counts.stems.copy()
    terms.data = (score + 1j * weights[stem]).astype(np.complex64)
    return terms @ vocabulary.phrases_of_stem


def _count_blocks(vocabulary: Vocabulary, texts: Texts) -> Iterator[tuple[int, _Counts]]:
    """Portions of bounded size: the index of the first row, and the counts."""
    chunks = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
    first = 0
    for chunk in filter(len, chunks):
        cut = pc.binary_slice(pc.fill_null(chunk.cast(pa.large_string()).cast(pa.large_binary()), b""), 0, LONGEST_TEXT)
        offsets = np.frombuffer(cut.buffers()[1], np.int64)[cut.offset : cut.offset + len(cut) + 1]
        begin = 0
        while begin < len(cut):
            end = int(np.searchsorted(offsets, offsets[begin] + _BYTES_AT_ONCE, "right")) - 1
            end = min(max(end, begin + 1), begin + _ROWS_AT_ONCE, len(cut))
            data = cut.buffers()[2]
            letters = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
            lengths = np.diff(offsets[begin : end + 1])
            yield first + begin, _count_stems(vocabulary, letters[offsets[begin] : offsets[end]], lengths)
            begin = end
        first += len(cut)


def _count_stems(vocabulary: Vocabulary, letters: NDArray[np.uint8], lengths: NDArray[np.int64]) -> _Counts:
    """Counts the words and the known stems of rows whose UTF-8 bytes lie one behind the other."""
    from scipy.sparse import csr_array

    rows = len(lengths)
    row, words = _split_words(letters, lengths)
    encoded = words.dictionary_encode()
    different, number = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    owner, stems = _stem_words(different)
    stem = pc.index_in(pa.array(stems, pa.string()), value_set=vocabulary.known_stems)
    many = np.bincount(owner, minlength=len(different))
    known = stem.is_valid().to_numpy(zero_copy_only=False)
    stem_number, owner = stem.fill_null(0).to_numpy()[known], owner[known]
    from_word = csr_array(
        (np.ones(len(owner), np.int64), (owner, stem_number)), shape=(len(different), len(vocabulary.stems))
    )
    in_row = np.bincount(row, weights=many[number], minlength=rows).astype(np.int64)
    wanted = (np.diff(from_word.indptr) > 0)[number]
    pointers = np.searchsorted(row[wanted], np.arange(rows + 1)).astype(np.int32)
    of_row = csr_array((np.ones(pointers[-1], np.int64), number[wanted], pointers), shape=(rows, len(different)))
    stems_of_row = of_row @ from_word
    stems_of_row.sum_duplicates()
    return _Counts(in_row, stems_of_row)


def _split_words(letters: NDArray[np.uint8], lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], pa.Array]:
    """The row and the bytes, small ASCII letters, of every run of letters and digits; what is not ASCII is a letter."""
    kind = _CLASS[letters]
    belonging = np.flatnonzero(kind == _BELONGS)
    row = np.repeat(np.arange(len(lengths)), lengths)[belonging]
    run = np.cumsum(kind == _SEPARATES)[belonging]
    begins = np.ones(len(belonging), bool)
    begins[1:] = (row[1:] != row[:-1]) | (run[1:] != run[:-1])
    first = np.flatnonzero(begins)
    offsets = np.append(first, len(belonging)).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(_SMALL[letters[belonging]])]
    return row[first], pa.Array.from_buffers(pa.binary(), len(first), buffers)


def _stem_words(words: Sequence[bytes]) -> tuple[NDArray[np.int64], list[str]]:
    """The stems of words, and for each the index of its word; a word with other separators than ASCII's has several."""
    import Stemmer

    pieces = [[word.decode()] if word.isascii() else _fold(word.decode(errors="replace")) for word in words]
    plain = [_SINGULAR.get(piece, piece) for several in pieces for piece in several]
    stems = Stemmer.Stemmer("english", 0).stemWords(plain)  # 0: its cache costs more than the stems
    return np.repeat(np.arange(len(words)), [len(several) for several in pieces]), stems


def _fold(text: str) -> list[str]:
    """The words of a text: runs of letters and digits, small, without accents and apostrophes."""
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    bare = "".join(
        letter if letter.isalnum() else " "
        for letter in letters
        if not unicodedata.combining(letter) and letter not in "'’"
    )
    return bare.split()


def _stem_phrase(phrase: str) -> tuple[str, ...]:
    words = _fold(phrase)
    saying = [word for word in words if word not in _UNSAID] or words
    return tuple(dict.fromkeys(_stem_words([word.encode() for word in saying])[1]))
