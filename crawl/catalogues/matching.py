"""Finds a catalogue's rows for all phrases at once, file by file, and keeps each query's rows under the root.

A match is named by its release, its phrases and its settings. Its pieces lie beside each other, so that a killed match
goes on where it was; the answers are written last, and the pieces go. Nothing of it depends on how many workers take
part, nor on the order in which they end.
"""

import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from crawl.catalogues.answers import ANSWERS, FIELDS, FOLDER, answers_schema, query_digest
from crawl.catalogues.catalogue import Catalogue
from crawl.catalogues.coverage import CellCoverage, Coverage, FileCoverage, write_coverage
from crawl.catalogues.embeddings import Segment, match_embeddings, read_embeddings
from crawl.catalogues.files import LeftOut, ListFile
from crawl.catalogues.meaning import score_meaning
from crawl.catalogues.ranking import (
    Cutoffs,
    Matches,
    fuse_by_rank,
    limit_cells,
    merge_matches,
    no_matches,
    number_rows,
    split_numbers,
)
from crawl.catalogues.rows import LISTING, read_rows, read_texts
from crawl.catalogues.stored_pictures import name_row
from crawl.catalogues.words import Vocabulary, WordStatistics, count_words, no_words, score_words
from crawl.source import Query
from moodarchive.archive.licences import find_licence, is_accepted
from moodarchive.errors import ConfigError
from moodarchive.models.clip import ClipEncoder
from moodarchive.running.parallel_map import Spread
from moodarchive.settings import SettingScope
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from moodarchive.tables.sql import connect, location

_ANSWERS_PER_GROUP = 2_000
"""A query reads the groups that hold its rows, and at most one other's."""
_FILES_OF_FIRST_WAVE = 2


@dataclass(frozen=True, kw_only=True)
class _FileFacts:
    """What one file's first pass says."""

    coverage: FileCoverage
    statistics: WordStatistics


@dataclass(frozen=True, kw_only=True)
class _Match:
    """One match of one catalogue; it travels to the workers whole."""

    store: Store
    folder: str
    catalogue: Catalogue
    queries: tuple[Query, ...]
    vocabulary: Vocabulary
    segments: Mapping[str, tuple[Segment, ...]] = field(default_factory=dict)
    """Where the embeddings of each file of the list stand, if in files of their own."""

    def count_file(self, index: int) -> _FileFacts:
        """First pass over one file."""
        settings, left_out = self.catalogue.settings, self._left_out(index)
        statistics = no_words(self.vocabulary)
        accepted_rows, refused = 0, Counter[str]()
        for _, texts, licences, accepted in self._accepted_blocks(index, left_out):
            refused += _count_refused(licences, accepted)
            accepted_rows += len(texts)
            if settings.match != "meaning":
                statistics += count_words(self.vocabulary, [texts])
        coverage = FileCoverage(
            name=self.files[index].name,
            rows=left_out.rows,
            accepted=accepted_rows,
            left_out=dict(left_out.counts),
            examples={why: list(which) for why, which in left_out.examples.items()},
            licences_refused=dict(refused),
        )
        return _FileFacts(coverage=coverage, statistics=statistics)

    def match_words(self, statistics: WordStatistics, cutoffs: Cutoffs, index: int) -> Matches:
        """Second pass over one file, once all are counted."""
        return self._piece(f"words-{index:05d}", lambda: self._score_words(statistics, cutoffs, index))

    def _score_words(self, statistics: WordStatistics, cutoffs: Cutoffs, index: int) -> Matches:
        settings = self.catalogue.settings
        blocks = ((number_rows(index, rows), texts) for rows, texts, _, _ in self._accepted_blocks(index))
        most, floor = settings.results_per_query, settings.word_floor
        return score_words(self.vocabulary, statistics, blocks, most, floor, cutoffs=cutoffs)

    def match_meaning(self, vectors: npt.NDArray[np.float32], cutoffs: Cutoffs, index: int) -> Matches:
        """The pass over one file's embeddings."""
        return self._piece(f"meaning-{index:05d}", lambda: self._score_meaning(vectors, cutoffs, index))

    def _score_meaning(self, vectors: npt.NDArray[np.float32], cutoffs: Cutoffs, index: int) -> Matches:
        settings = self.catalogue.settings
        accepted = [rows for rows, _, _, _ in self._accepted_blocks(index)]
        allowed = np.concatenate(accepted) if accepted else np.empty(0, np.int64)

        def blocks() -> Iterator[tuple[npt.NDArray[np.uint64], npt.NDArray[np.floating]]]:
            file, segments = self.files[index], self.segments.get(self.files[index].name, ())
            reading = read_embeddings(file, self.catalogue.preset, settings.columns, self._left_out(index), segments)
            for rows, block in reading:
                chosen = np.isin(rows, allowed, assume_unique=True)
                if not chosen.any():
                    continue
                if block.shape[1] != vectors.shape[1]:
                    raise ConfigError(
                        f"{file.path}: its embeddings have {block.shape[1]} numbers, those of the model "
                        f"{vectors.shape[1]}; remedy: name the model that made them by embedding_model"
                    )
                yield number_rows(index, rows[chosen]), block[chosen]

        most, floor = settings.results_per_query, settings.cosine_floor
        return score_meaning(vectors, blocks(), most, floor, cutoffs=cutoffs)

    def describe_rows(self, chosen: tuple[int, npt.NDArray[np.int64]]) -> str:
        """Writes what the list says of one file's chosen rows; returns where."""
        index, positions = chosen
        path = f"{self.folder}/rows-{index:05d}.parquet"
        if not self.store.exists(path):
            batches = read_rows(
                self.files[index], self.catalogue.preset, self.catalogue.settings.columns, self._left_out(index),
                chosen=positions,
            )  # fmt: skip
            table = pa.Table.from_batches(batches, schema=LISTING)
            urls = [name_row(self.catalogue.name, self.files[index], url) for url in table["url"].to_pylist()]
            table = table.set_column(table.schema.get_field_index("url"), "url", pa.array(urls, pa.string()))
            ids = pa.array(number_rows(index, table["row"].to_numpy()), pa.uint64())
            with self.store.draft(path) as file:
                pq.write_table(table.append_column("id", ids), file)
        return path

    @property
    def files(self) -> tuple[ListFile, ...]:
        return self.catalogue.files

    def _left_out(self, index: int) -> LeftOut:
        return LeftOut(self.files[index].name)

    def _accepted_blocks(
        self, index: int, left_out: LeftOut | None = None
    ) -> Iterator[tuple[npt.NDArray[np.int64], pa.Array, pa.Array, pa.Array]]:
        """(rows, texts) of the rows whose licences may enter; then all licences of the block, and which may."""
        settings = self.catalogue.settings
        left_out = left_out or self._left_out(index)
        for rows, texts, licences in read_texts(self.files[index], self.catalogue.preset, settings.columns, left_out):
            accepted = _accept(licences, settings.licences)
            chosen = accepted.to_numpy(zero_copy_only=False)
            yield rows[chosen], texts.filter(accepted), licences, accepted

    def _piece(self, name: str, make: Any) -> Matches:
        """What a killed match left, or what is made now."""
        path = f"{self.folder}/{name}.npz"
        try:
            return _load_matches(self.store.read_bytes(path))
        except FileNotFoundError:
            matches: Matches = make()
            self.store.write_bytes(path, _dump_matches(matches))
            return matches


def match_catalogue(store: Store, catalogue: Catalogue, queries: Sequence[Query], spread: Spread) -> str:
    """Keeps the rows of every query under the root, and what was found in which cell; returns the folder.

    Work goes on where a killed match ended. Of each file the list's rows are read twice, and the chosen ones once more.
    ConfigError names a file that is not of the preset's form, and a model of embeddings that cannot be loaded.
    """
    key = digest([[query_digest(query) for query in queries], catalogue.settings.of_kind(SettingScope.GROWTH)])
    folder = f"{FOLDER}/{catalogue.name}-{key}"
    if store.exists(f"{folder}/{ANSWERS}"):
        return folder
    phrases = tuple(dict.fromkeys(query.phrase for query in queries))
    match = _Match(
        store=store,
        folder=folder,
        catalogue=catalogue,
        queries=tuple(queries),
        vocabulary=Vocabulary(phrases),
        segments=_find_segments(catalogue),
    )
    numbers = range(len(catalogue.files))
    facts = list(spread(match.count_file, numbers))
    found = _of_queries(_match_phrases(match, facts, spread), phrases, queries)
    number_of_cell: dict[tuple[str, str], int] = {}
    cell_of_query = [
        number_of_cell.setdefault((query.emotion, query.context), len(number_of_cell)) for query in queries
    ]
    kept = limit_cells(found, cell_of_query, catalogue.settings.images_per_cell)
    pieces = list(spread(match.describe_rows, _rows_of_files(kept)))
    write_coverage(store, PurePath(folder).name, _cover(match, facts, found, kept))
    _write_answers(match, kept, pieces)
    for path in store.files(folder):
        if not path.endswith(ANSWERS):
            store.remove(path)
    return folder


def _find_segments(catalogue: Catalogue) -> Mapping[str, tuple[Segment, ...]]:
    """Where the embeddings stand. ConfigError when they are wanted, and neither the list nor the settings have any."""
    settings = catalogue.settings
    if settings.match == "words":
        return {}
    published = catalogue.preset.embedding
    if not settings.embeddings and "embedding" not in settings.columns and (published is None or published[0] is None):
        raise ConfigError(
            f"{settings.section}.{catalogue.name}.match = {settings.match!r} needs embeddings; remedy: "
            'name the files that came with the list or that moodarchive embed made: embeddings = ["…"]'
        )
    return match_embeddings(catalogue.files, catalogue.preset, settings.columns, settings.embeddings)


def _match_phrases(match: _Match, facts: Sequence[_FileFacts], spread: Spread) -> Matches:
    """The best rows of each phrase, by words, by meaning, or by both."""
    settings = match.catalogue.settings
    words = meaning = None
    if settings.match != "meaning":
        statistics = no_words(match.vocabulary)
        for one in facts:
            statistics += one.statistics
        words = _match_files(match, partial(match.match_words, statistics), spread)
    if settings.match != "words":
        vectors = _embed_phrases(match.catalogue, match.vocabulary.phrases)
        meaning = _match_files(match, partial(match.match_meaning, vectors), spread)
    if words is not None and meaning is not None:
        return fuse_by_rank(words, meaning, settings.results_per_query)
    merged = words if words is not None else meaning
    assert merged is not None
    return merged


def _match_files(match: _Match, match_file: Callable[[Cutoffs, int], Matches], spread: Spread) -> Matches:
    """Files in waves, each as large as all before it, so that most files begin with cutoffs close to the final ones.

    Without them every file would compute and hand over its own best rows of each phrase, of which few remain.
    """
    most, files = match.catalogue.settings.results_per_query, range(len(match.files))
    best = no_matches(len(match.vocabulary.phrases))
    first, wave = 0, _FILES_OF_FIRST_WAVE
    while first < len(files):
        parts = spread(partial(match_file, best.find_cutoffs(most)), files[first : first + wave])
        best = merge_matches(chain([best], parts), most)
        first += wave
        wave = first
    return best


def _embed_phrases(catalogue: Catalogue, phrases: Sequence[str]) -> npt.NDArray[np.float32]:
    """[phrases, width] by the text tower that belongs to the list's embeddings."""
    model, pretrained = catalogue.embedding_model
    return ClipEncoder(model=model, pretrained=pretrained).texts(phrases)


def _of_queries(found: Matches, phrases: Sequence[str], queries: Sequence[Query]) -> Matches:
    """Each query's pairs: those of its phrase, as many as it asks for. ``phrase`` is then the query's number."""
    first = np.searchsorted(found.phrase, np.arange(len(phrases) + 1))
    number = {phrase: index for index, phrase in enumerate(phrases)}
    spans = [(first[number[query.phrase]], first[number[query.phrase] + 1], query.results) for query in queries]
    lengths = [min(int(end - begin), most) for begin, end, most in spans]
    chosen = np.concatenate(
        [np.arange(begin, begin + length) for (begin, _, _), length in zip(spans, lengths, strict=True)]
    ).astype(np.int64)
    query = np.repeat(np.arange(len(queries), dtype=np.int32), lengths)
    fitted = found.fitted[[number[query.phrase] for query in queries]]
    return Matches(query, found.row[chosen], found.score[chosen], fitted)


def _rows_of_files(kept: Matches) -> list[tuple[int, npt.NDArray[np.int64]]]:
    """Of each file with chosen rows: its number, and their positions, sorted."""
    files, positions = split_numbers(np.unique(kept.row))
    return [(int(file), positions[files == file]) for file in np.unique(files)]


def _write_answers(match: _Match, kept: Matches, pieces: Sequence[str]) -> None:
    """Joins the queries' pairs with the rows, out of core, sorted by query and rank."""
    names = pa.array([query_digest(query) for query in match.queries], pa.string())
    pairs = pa.table(
        {
            "query": names.take(pa.array(kept.phrase)),
            "rank": pa.array(kept.rank, pa.int32()),
            "id": pa.array(kept.row, pa.uint64()),
        }
    )
    schema = answers_schema()
    described = ", ".join(f"d.{name}" for name in FIELDS if name != "retrieved_on")
    quoted = ", ".join("'" + location(match.store, piece).replace("'", "''") + "'" for piece in pieces)
    source = f"read_parquet([{quoted}])" if pieces else f"(SELECT {_NOTHING_LISTED})"
    with connect(match.store) as connection:
        connection.register("pairs", pairs)
        reader = connection.sql(f"""
            SELECT p.query, p.rank, {described}, '{match.catalogue.day}' AS retrieved_on
            FROM pairs p JOIN {source} d USING (id) ORDER BY p.query, p.rank
        """).to_arrow_reader(_ANSWERS_PER_GROUP)
        with (
            match.store.draft(f"{match.folder}/{ANSWERS}") as file,
            pq.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            for batch in reader:
                writer.write_table(pa.Table.from_batches([batch]).select(schema.names).cast(schema))


_NOTHING_LISTED = ", ".join(["0::UBIGINT AS id", *(f"NULL AS {name}" for name in FIELDS if name != "retrieved_on")])
"""A relation's columns, where nothing was chosen; its one row joins with nothing."""


def _cover(match: _Match, facts: Sequence[_FileFacts], found: Matches, kept: Matches) -> Coverage:
    """What of the list was read, and what was found in each cell."""
    cells: dict[tuple[str, str], list[int]] = {}
    for number, query in enumerate(match.queries):
        cells.setdefault((query.emotion, query.context), []).append(number)
    without = np.flatnonzero(found.fitted == 0)
    return Coverage(
        catalogue=match.catalogue.name,
        preset=match.catalogue.settings.preset,
        release=match.catalogue.release,
        match=match.catalogue.settings.match,
        phrases=len(match.queries),
        phrases_without_rows=[match.queries[number].phrase for number in without.tolist()],
        files=[one.coverage for one in facts],
        cells=[_cover_cell(match, cell, numbers, found, kept) for cell, numbers in cells.items()],
    )


def _cover_cell(
    match: _Match, cell: tuple[str, str], numbers: Sequence[int], found: Matches, kept: Matches
) -> CellCoverage:
    chosen = np.isin(kept.phrase, numbers)
    scores, queries = kept.score[chosen], kept.phrase[chosen]
    weakest = int(np.argmin(scores)) if len(scores) else None
    return CellCoverage(
        emotion=cell[0],
        context=cell[1],
        phrases=len(numbers),
        phrases_without_rows=int(np.count_nonzero(found.fitted[numbers] == 0)),
        fitting=int(found.fitted[numbers].sum()),
        taken=len(np.unique(kept.row[chosen])),
        weakest_score=None if weakest is None else round(float(scores[weakest]), 5),
        weakest_phrase=None if weakest is None else match.queries[int(queries[weakest])].phrase,
    )


def _accept(licences: pa.Array, accepted: Sequence[str]) -> pa.Array:
    """True for each row whose licence may enter."""
    encoded = licences.dictionary_encode()
    may_enter = [is_accepted(find_licence(name, None), accepted) for name in encoded.dictionary.to_pylist()]
    return pa.array(may_enter, pa.bool_()).take(encoded.indices)


def _count_refused(licences: pa.Array, accepted: pa.Array) -> Counter[str]:
    """How many rows have which licence that may not enter."""
    counts = pc.value_counts(licences.filter(pc.invert(accepted))).to_pylist()
    return Counter({entry["values"]: entry["counts"] for entry in counts})


def _dump_matches(matches: Matches) -> bytes:
    file = io.BytesIO()
    np.savez(file, phrase=matches.phrase, row=matches.row, score=matches.score, fitted=matches.fitted)
    return file.getvalue()


def _load_matches(data: bytes) -> Matches:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return Matches(arrays["phrase"], arrays["row"], arrays["score"], arrays["fitted"])
