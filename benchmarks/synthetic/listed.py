"""A list of captioned images with PD12M's columns and planted answers, and embeddings beside it; all from a seed."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from moodarchive.emotions.lexicon import load_lexicon
from synthetic.words import hashed, hexed

ROWS_PER_FILE = 250_000
WORDS_PER_CAPTION = 25
PLANTED_PER_PHRASE = 20
WIDTH = 768
_DRAWN_FILES = 4
_DIFFERENT_WORDS = 30_000
_TEXT = (
    "a the of in with on and is at to by an his her from for their its that are over into while as it near under "
    "behind two through along against one some around this they who other being"
)
_FUNCTION_WORDS = _TEXT.split()
_SYLLABLES = [first + vowel for first in "bcdfghjklmnprstvwz" for vowel in "aeiou"]


def lexicon_phrases() -> list[str]:
    """All phrases of the lexicon, cell by cell."""
    return [phrase for phrases in load_lexicon().values() for phrase in phrases]


def planted_rows(rows: int, seed: int) -> np.ndarray:
    """[phrases, planted]: rows whose captions hold all words of the phrase; fewer in a list too short for twenty."""
    phrases = len(lexicon_phrases())
    each = min(PLANTED_PER_PHRASE, rows // (2 * phrases))
    return np.random.default_rng([seed, 1]).choice(rows, phrases * each, replace=False).reshape(phrases, each)


def write_list(folder: Path, rows: int, seed: int) -> list[Path]:
    """Parquet files of captions, drawn by Zipf's law from function words, the lexicon's words and made-up ones."""
    firsts = range(0, rows, ROWS_PER_FILE)
    with ProcessPoolExecutor(2) as pool:
        return list(pool.map(partial(_write_captions, folder, rows, seed), firsts))


def write_embeddings(folder: Path, rows: int, seed: int) -> list[Path]:
    """float16 vectors of length 1, as .npy files. After a million they come again, with their numbers moved along."""
    firsts = range(0, rows, ROWS_PER_FILE)
    drawn = firsts[:_DRAWN_FILES]
    with ProcessPoolExecutor(2) as pool:
        paths = list(pool.map(partial(_draw_vectors, folder, rows, seed), drawn))
        return paths + list(pool.map(partial(_shift_vectors, folder, rows), firsts[_DRAWN_FILES:]))


def phrase_vectors(seed: int) -> np.ndarray:
    """float32 vectors of length 1, one for each phrase of the lexicon."""
    return _unit_vectors(np.random.default_rng([seed, 2]), len(lexicon_phrases())).astype(np.float32)


def _unit_vectors(random: np.random.Generator, rows: int) -> np.ndarray:
    vectors = random.standard_normal((rows, WIDTH), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _draw_vectors(folder: Path, rows: int, seed: int, first: int) -> Path:
    path = folder / f"{first // ROWS_PER_FILE:05d}.npy"
    random = np.random.default_rng([seed, 3, first])
    last = min(first + ROWS_PER_FILE, rows)
    written = np.lib.format.open_memmap(path, "w+", np.float16, (last - first, WIDTH))
    for begin in range(0, last - first, 10_000):
        block = written[begin : begin + 10_000]
        block[:] = _unit_vectors(random, len(block))
    return path


def _shift_vectors(folder: Path, rows: int, first: int) -> Path:
    file = first // ROWS_PER_FILE
    drawn = np.load(folder / f"{file % _DRAWN_FILES:05d}.npy")
    path = folder / f"{file:05d}.npy"
    np.save(path, np.roll(drawn[: rows - first], file // _DRAWN_FILES, axis=1))
    return path


def _all_words(random: np.random.Generator) -> Sequence[str]:
    """By falling frequency. The lexicon's words are common ones; made-up words are spread evenly."""
    lexicon = sorted({word for phrase in lexicon_phrases() for word in phrase.replace("-", " ").split()})
    lexicon = [word for word in lexicon if word not in _FUNCTION_WORDS]
    made_up = ["".join(random.choice(_SYLLABLES, 4)) for _ in range(_DIFFERENT_WORDS - len(lexicon))]
    rank = np.concatenate([
        len(_FUNCTION_WORDS) * 500.0 ** random.random(len(lexicon)),
        _DIFFERENT_WORDS * random.random(len(made_up)),
    ])  # fmt: skip
    return [*_FUNCTION_WORDS, *np.array([*lexicon, *made_up])[np.argsort(rank)].tolist()]


def _write_captions(folder: Path, rows: int, seed: int, first: int) -> Path:
    words = _all_words(np.random.default_rng([seed, 0]))
    number = {word: index for index, word in enumerate(words)}
    share = np.cumsum(1 / np.arange(1, len(words) + 1))
    row = np.arange(first, min(first + ROWS_PER_FILE, rows))
    random = np.random.default_rng([seed, 4, first])
    said = np.searchsorted(share, random.random((len(row), WORDS_PER_CAPTION)) * share[-1])
    for phrase, answers in zip(lexicon_phrases(), planted_rows(rows, seed), strict=True):
        planted = [number[word] for word in phrase.replace("-", " ").split()]
        for answer in answers[(answers >= first) & (answers <= row[-1])]:
            said[answer - first, random.permutation(WORDS_PER_CAPTION)[: len(planted)]] = planted
    offsets = np.arange(0, said.size + 1, WORDS_PER_CAPTION, dtype=np.int32)
    captions = pc.binary_join(pa.ListArray.from_arrays(offsets, pa.array(words).take(pa.array(said.ravel()))), " ")
    image = pc.binary_join_element_wise(hexed(hashed(row, 1)), hexed(hashed(row, 2)), "")
    table = pa.table({
        "id": image,
        "url": pc.binary_join_element_wise("https://bucket.example/images/", image, ".jpeg", ""),
        "caption": pc.binary_join_element_wise(pc.utf8_capitalize(captions), ".", ""),
        "width": (640 + hashed(row, 3) % np.uint64(4000)).astype(np.int64),
        "height": (640 + hashed(row, 4) % np.uint64(4000)).astype(np.int64),
        "mime_type": pa.array(["image/jpeg"]).take(pa.array(np.zeros(len(row), np.int8))),
        "hash": pc.binary_join_element_wise(hexed(hashed(row, 5)), hexed(hashed(row, 6)), ""),
        "license": pa.array([
            "https://creativecommons.org/publicdomain/zero/1.0/", "https://creativecommons.org/publicdomain/mark/1.0/",
        ]).take(pa.array(row % 2)),
        "source": pa.array(["museum.example"]).take(pa.array(np.zeros(len(row), np.int8))),
    })  # fmt: skip
    path = folder / f"{first // ROWS_PER_FILE:05d}.parquet"
    pq.write_table(table, path, row_group_size=50_000, compression="zstd", compression_level=1)
    return path
