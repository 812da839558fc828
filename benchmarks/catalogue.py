"""All phrases of the lexicon matched with a list of millions, by words and by meaning: time, memory, recall.

The list has PD12M's columns; twenty rows for each phrase are planted. The peers are the `urls` source's scan (a sample,
extrapolated), one DuckDB join, and tantivy's index and search. Generation is not timed. Claims go to standard output,
one a line, the weakest once more at the end; the table goes to standard error.
"""

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

for _threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[_threads] = "1"  # the two workers share the cores; set before NumPy is there

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

HOUSE = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOUSE), str(HOUSE / "benchmarks")]

from synthetic.listed import (  # noqa: E402
    ROWS_PER_FILE,
    lexicon_phrases,
    phrase_vectors,
    planted_rows,
    write_embeddings,
    write_list,
)
from synthetic.memory import peak_gib  # noqa: E402

from crawl.catalogues.meaning import score_meaning  # noqa: E402
from crawl.catalogues.ranking import Matches, merge_matches, number_rows  # noqa: E402
from crawl.catalogues.words import FLOOR, Vocabulary, count_words, no_words, score_words  # noqa: E402

MOST = 2_000
WORKERS = 2
LIMIT_WORDS_S, LIMIT_MEANING_CPU_S, LIMIT_GIB, LEAST_RECALL = 600.0, 720.0, 4.0, 0.95
FULL_ROWS, FULL_VECTORS = 12_400_000, 10_000_000
"""The sizes for which the limits stand; smaller runs have their share of the time, and all of the memory."""
ROWS_AT_ONCE = 16_384
CHECKED_PHRASES = 20
FLOORS = (0.0, 0.25, 0.34, 0.4, 0.5, 0.6, 0.67, 0.75, 1.0)
Measured = dict[str, Any]


def _captions(files: Iterable[tuple[int, Path]]) -> Iterator[tuple[np.ndarray, pa.Array]]:
    for index, path in files:
        row = 0
        for batch in pq.ParquetFile(path).iter_batches(columns=["caption"], batch_size=ROWS_AT_ONCE):
            yield number_rows(index, np.arange(row, row + len(batch))), batch.column(0)
            row += len(batch)


def _vectors(files: Iterable[tuple[int, Path]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for index, path in files:
        with path.open("rb") as file:
            rows, width = _read_shape(file)
            for row in range(0, rows, ROWS_AT_ONCE):
                count = min(ROWS_AT_ONCE, rows - row)
                block = np.fromfile(file, np.float16, count * width).reshape(count, width)
                yield number_rows(index, np.arange(row, row + count)), block


def _read_shape(file: Any) -> tuple[int, int]:
    assert np.lib.format.read_magic(file) == (1, 0)
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    assert dtype == np.float16
    return shape


def _in_worker(work: Callable[[list[tuple[int, Path]]], Any], files: list[tuple[int, Path]]) -> tuple[Any, int, float]:
    return work(files), os.getpid(), peak_gib()


def _for_each_span(files: list[Path], *passes: Callable[..., Any]) -> tuple[Any, Measured]:
    """Runs passes over two halves of the files, each pass with what the one before it gave; counts time and memory."""
    numbered = list(enumerate(files))
    spans = [span for span in (numbered[: -(-len(files) // 2)], numbered[-(-len(files) // 2) :]) if span]
    peaks: dict[int, float] = {}
    given: Any = None
    began, processor = time.perf_counter(), _processor_seconds()
    with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn")) as pool:
        for each, join in passes:
            work = partial(_in_worker, each if given is None else partial(each, given))
            answers = list(pool.map(work, spans))
            peaks.update({process: peak for _, process, peak in answers})
            given = join([answer for answer, _, _ in answers])
    measured = {
        "seconds": time.perf_counter() - began, "cpu_seconds": _processor_seconds() - processor,
        "gib": sum(peaks.values()) + peak_gib(),
    }  # fmt: skip
    return given, measured


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _count(files: list[tuple[int, Path]]) -> Any:
    return count_words(Vocabulary(lexicon_phrases()), (texts for _, texts in _captions(files)))


def _score(floor: float, statistics: Any, files: list[tuple[int, Path]]) -> Matches:
    return score_words(Vocabulary(lexicon_phrases()), statistics, _captions(files), MOST, floor)


def _product(seed: int, files: list[tuple[int, Path]]) -> Matches:
    return score_meaning(phrase_vectors(seed), _vectors(files), MOST)


def _merge(parts: list[Matches]) -> Matches:
    return merge_matches(parts, MOST)


def _sum_statistics(parts: list[Any]) -> Any:
    return sum(parts, no_words(Vocabulary(lexicon_phrases())))


def _planted_numbers(rows: int, seed: int) -> np.ndarray:
    planted = planted_rows(rows, seed)
    return (planted // ROWS_PER_FILE).astype(np.uint64) << np.uint64(40) | (planted % ROWS_PER_FILE).astype(np.uint64)


def match_words(folder: Path, rows: int, seed: int, floor: float) -> Measured:
    """Both passes over the captions, two workers."""
    files = sorted(folder.glob("*.parquet"))
    matches, measured = _for_each_span(files, (_count, _sum_statistics), (partial(_score, floor), _merge))
    planted = _planted_numbers(rows, seed)
    phrase = np.repeat(np.arange(len(planted)), planted.shape[1])
    wanted = set(zip(phrase.tolist(), planted.ravel().tolist(), strict=True))
    listed = set(zip(matches.phrase.tolist(), matches.row.tolist(), strict=True))
    best = matches.rank < planted.shape[1]
    among_best = set(zip(matches.phrase[best].tolist(), matches.row[best].tolist(), strict=True))
    return measured | {
        "recall": len(wanted & listed) / len(wanted), "first": len(wanted & among_best) / len(wanted),
        "nothing": int(np.count_nonzero(matches.fitted == 0)), "pairs": len(matches),
        "fitted": float(np.median(matches.fitted)),
    }  # fmt: skip


def match_meaning(folder: Path, seed: int) -> Measured:
    """The product with all embeddings, two workers; a sample of phrases against NumPy's float64 product."""
    files = sorted(folder.glob("*.npy"))
    matches, measured = _for_each_span(files, (partial(_product, seed), _merge))
    sample = np.random.default_rng([seed, 5]).choice(len(lexicon_phrases()), CHECKED_PHRASES, replace=False)
    vectors = phrase_vectors(seed)[sample].astype(np.float64)
    cosines, numbers = [], []
    for number, block in _vectors(enumerate(files)):
        exact = block.astype(np.float64)
        cosines.append(vectors @ (exact / np.linalg.norm(exact, axis=1, keepdims=True)).T)
        numbers.append(number)
    cosine, numbered = np.concatenate(cosines, axis=1), np.concatenate(numbers)
    common = 0
    for index, phrase in enumerate(sample):
        best = numbered[np.argpartition(-cosine[index], min(MOST, len(numbered) - 1))[:MOST]]
        common += len(np.intersect1d(best, matches.row[matches.phrase == phrase]))
    return measured | {"recall": common / (CHECKED_PHRASES * min(MOST, len(numbered)))}


def scan_by_phrase(folder: Path, rows: int, phrases: int) -> Measured:
    """What the `urls` source does: ``list_has_all`` over every row, for some phrases."""
    from crawl.sites.listed import build_index, open_database, search_words

    connection = open_database()
    files = [str(path) for path in sorted(folder.glob("*.parquet"))]
    absent = ", ".join(f"NULL::VARCHAR AS {name}" for name in ("landing_url", "title", "creator", "creator_url"))
    connection.execute(
        f"CREATE TEMP TABLE listed AS SELECT id AS source_id, url, {absent}, caption AS alt_text, "
        "NULL::VARCHAR AS licence, license AS licence_url, width::INTEGER AS width, height::INTEGER AS height, "
        f"false AS mature, NULL::VARCHAR AS searched FROM read_parquet({files}) LIMIT {rows}"
    )
    processor = _processor_seconds()
    build_index(connection)
    indexed = _processor_seconds()
    statement = (
        "SELECT source_id FROM images WHERE list_has_all(words, $words) ORDER BY len(words), source_id LIMIT $most"
    )
    nothing = 0
    for phrase in lexicon_phrases()[:phrases]:
        answers = connection.execute(statement, {"words": search_words(phrase), "most": MOST}).fetchall()
        nothing += not answers
    return {"index_cpu_seconds": indexed - processor, "cpu_seconds": _processor_seconds() - indexed, "nothing": nothing}


def join_words(folder: Path, rows: int) -> Measured:
    """One SQL statement: BM25 of all phrases by a join of words, the best of each phrase by a window."""
    import duckdb

    vocabulary = Vocabulary(lexicon_phrases())
    with tempfile.TemporaryDirectory() as spilled:
        connection = duckdb.connect(config={"threads": WORKERS, "memory_limit": "4GB", "temp_directory": spilled})
        words = [word for phrase in vocabulary.phrases for word in phrase.replace("-", " ").split()]
        owner = [n for n, phrase in enumerate(vocabulary.phrases) for _ in phrase.replace("-", " ").split()]
        stems = Vocabulary(words).stems_of_phrase
        pairs = [
            (phrase, word)
            for phrase, word, stem in zip(owner, words, stems, strict=True)
            if stem[0] in vocabulary.stems_of_phrase[phrase]
        ]
        wanted = pa.table({"phrase": [pair[0] for pair in pairs], "word": [pair[1] for pair in pairs]})
        files = [str(path) for path in sorted(folder.glob("*.parquet"))]
        began, processor = time.perf_counter(), _processor_seconds()
        connection.register("given", wanted)
        connection.execute("CREATE TEMP TABLE wanted AS SELECT DISTINCT phrase, word FROM given")
        connection.execute(f"""
            CREATE TEMP TABLE said AS
            WITH texts AS (
                SELECT row_number() OVER () AS row, regexp_extract_all(lower(caption), '[a-z0-9]+') AS words
                FROM (SELECT caption FROM read_parquet({files}) LIMIT {rows})),
            word AS (SELECT row, len(words) AS length, unnest(words) AS word FROM texts)
            SELECT row, any_value(length) AS length, word, count(*) AS times
            FROM word WHERE word IN (SELECT word FROM wanted) GROUP BY row, word""")
        answers = connection.execute(f"""
            WITH weight AS (
                SELECT word, ln(1 + ({rows} - count(*) + 0.5) / (count(*) + 0.5)) AS weight FROM said GROUP BY word),
            total AS (SELECT phrase, sum(weight) AS total FROM wanted JOIN weight USING (word) GROUP BY phrase),
            score AS (
                SELECT phrase, row, sum(weight) AS met,
                    sum(weight * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * length / 25))) AS score
                FROM said JOIN wanted USING (word) JOIN weight USING (word) GROUP BY phrase, row),
            ranked AS (
                SELECT phrase, row, row_number() OVER (PARTITION BY phrase ORDER BY score DESC, row) AS rank
                FROM score JOIN total USING (phrase) WHERE met >= {FLOOR} * total)
            SELECT count(*) FROM ranked WHERE rank <= {MOST}""").fetchone()
        assert answers is not None
    return {
        "seconds": time.perf_counter() - began, "cpu_seconds": _processor_seconds() - processor, "gib": peak_gib(),
        "pairs": answers[0],
    }  # fmt: skip


def search_index(folder: Path, rows: int) -> Measured:
    """tantivy: an index of the captions on disk, and each phrase's stems searched in it, without a floor."""
    import tantivy

    vocabulary = Vocabulary(lexicon_phrases())
    with tempfile.TemporaryDirectory() as index_folder:
        builder = tantivy.SchemaBuilder()
        builder.add_text_field("text", tokenizer_name="en_stem", index_option="freq")
        builder.add_integer_field("row", fast=True)
        schema = builder.build()
        index = tantivy.Index(schema, path=index_folder)
        began, processor = time.perf_counter(), _processor_seconds()
        writer = index.writer(heap_size=512_000_000, num_threads=WORKERS)
        row = 0
        for _, texts in _captions(enumerate(sorted(folder.glob("*.parquet")))):
            for text in texts.to_pylist()[: rows - row]:
                writer.add_document(tantivy.Document(text=text, row=row))
                row += 1
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        indexed, indexed_processor = time.perf_counter(), _processor_seconds()
        searcher, pairs = index.searcher(), 0
        for stems in vocabulary.stems_of_phrase:
            terms = [tantivy.Query.term_query(schema, "text", stem, "freq") for stem in stems]
            query = tantivy.Query.boolean_query([(tantivy.Occur.Should, term) for term in terms])
            pairs += len(searcher.search(query, limit=MOST, count=False).hits)
        size = sum(path.stat().st_size for path in Path(index_folder).rglob("*") if path.is_file())
    return {
        "index_seconds": indexed - began, "index_cpu_seconds": indexed_processor - processor,
        "seconds": time.perf_counter() - indexed, "cpu_seconds": _processor_seconds() - indexed_processor,
        "gib": peak_gib(), "index_mib": size / 2**20, "pairs": pairs,
    }  # fmt: skip


PARTS: dict[str, Callable[..., Measured]] = {
    "words": match_words, "meaning": match_meaning, "scan": scan_by_phrase, "join": join_words, "tantivy": search_index,
}  # fmt: skip


def _measure(part: str, *arguments: object) -> Measured:
    """Runs in a process of its own, so that the peak of memory is that part's."""
    command = [sys.executable, __file__, "--part", part, json.dumps([str(one) if isinstance(one, Path) else one
                                                                    for one in arguments])]  # fmt: skip
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    measured = json.loads(out.splitlines()[-1])
    print(part, {name: round(value, 3) for name, value in measured.items()}, file=sys.stderr, flush=True)
    return dict(measured)


def _claim(claim: str, ours: float, peer: float, unit: str, *, least: bool = False) -> Measured:
    ratio = ours / peer if least else peer / ours
    return {
        "claim": claim, "ours": round(ours, 3), "peer": round(peer, 3), "unit": unit, "ratio": round(ratio, 3),
        "bar": 1.0, "met": round(ratio, 3) >= 1.0,
    }  # fmt: skip


def _print_floors(folder: Path, rows: int, seed: int) -> None:
    """What each floor leaves, on standard error."""
    print(f"{'floor':>6} {'no row':>7} {'median rows':>12} {'recall':>7} {'planted first':>14}", file=sys.stderr)
    for floor in FLOORS:
        one = match_words(folder, rows, seed, floor)
        print(
            f"{floor:6.2f} {one['nothing']:7d} {one['fitted']:12.0f} {one['recall']:7.3f} {one['first']:14.3f}",
            file=sys.stderr, flush=True,
        )  # fmt: skip


def measure(folder: Path, options: argparse.Namespace) -> list[Measured]:
    """Generates, matches, and says what was claimed."""
    rows, vectors, seed = options.rows, options.embeddings, options.seed
    claims = []
    if rows:
        write_list(folder, rows, seed)
        words = _measure("words", folder, rows, seed, options.floor)
        share = rows / FULL_ROWS
        claims += [
            _claim(f"words of {rows:,} rows, all phrases", words["seconds"], LIMIT_WORDS_S * share + 10, "s"),
            _claim(f"peak memory, words of {rows:,} rows, all processes", words["gib"], LIMIT_GIB, "GiB"),
            _claim("planted rows among each phrase's best", words["recall"], LEAST_RECALL, "share", least=True),
        ]
        if options.floors:
            _print_floors(folder, rows, seed)
        if some := min(options.peers, rows):
            ours = words["cpu_seconds"] * some / rows
            scan = _measure("scan", folder, min(some, 200_000), 20)
            whole = scan["cpu_seconds"] * some / min(some, 200_000) * len(lexicon_phrases()) / 20
            claims.append(_claim(f"the scan of the `urls` source, {some:,} rows, extrapolated", ours, whole, "CPU s"))
            join = _measure("join", folder, some)
            claims.append(_claim(f"one DuckDB join, {some:,} rows", ours, join["cpu_seconds"], "CPU s"))
            index = _measure("tantivy", folder, some)
            both = index["index_cpu_seconds"] + index["cpu_seconds"]
            claims.append(_claim(f"tantivy's index and search, {some:,} rows", ours, both, "CPU s"))
    if vectors:
        write_embeddings(folder, vectors, seed)
        meaning = _measure("meaning", folder, seed)
        limit = LIMIT_MEANING_CPU_S * vectors / FULL_VECTORS + 90  # until there are cutoffs, every row is a candidate
        claims += [
            _claim(f"embeddings of {vectors:,} rows, all phrases", meaning["cpu_seconds"], limit, "CPU s"),
            _claim(f"peak memory, embeddings of {vectors:,} rows, all processes", meaning["gib"], LIMIT_GIB, "GiB"),
            _claim("rows of NumPy's product that are among the best", meaning["recall"], 1.0, "share", least=True),
        ]
    return claims


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rows", type=int, default=1_000_000, help="captions; 0 leaves the words out")
    asked.add_argument("--embeddings", type=int, default=1_000_000, help="vectors; 0 leaves the meaning out")
    asked.add_argument("--peers", type=int, default=1_000_000, help="rows of them that the peers match; 0 for no peers")
    asked.add_argument("--floor", type=float, default=FLOOR)
    asked.add_argument("--floors", action="store_true", help="also what each of several floors leaves")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--folder", type=Path, help="where the data goes (1.6 GB a million embeddings); kept afterwards")
    asked.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    options = asked.parse_args()
    if options.part:
        first, *others = json.loads(options.part[1])
        print(json.dumps(PARTS[options.part[0]](Path(first), *others)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            asked.error(f"{folder} is not empty; remedy: name a new folder")
        claims = measure(folder, options)
    for claim in claims:
        print(json.dumps(claim))
    print(json.dumps(min(claims, key=lambda claim: float(claim["ratio"]) / float(claim["bar"]))))


if __name__ == "__main__":
    main()
