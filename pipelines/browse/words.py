"""Search by words: an index of titles, alt-texts and captions by tantivy, with the page's filters as terms of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from moodarchive.errors import MissingExtraError

TERMS = ("emotion", "context", "source", "licence", "reason", "set", "round")
"""The columns of rows by which a search by words can be narrowed."""
MOST_FOUND = 10_000
"""The best rows of a search; no page goes deeper."""
_MOST_WORDS = 32
_MEMORY = 200_000_000


def _tantivy() -> Any:
    try:
        import tantivy
    except ModuleNotFoundError:
        raise MissingExtraError("tantivy", "browse") from None
    return tantivy


def _schema(tantivy: Any) -> Any:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("id", stored=True, indexed=True)
    builder.add_float_field("score", fast=True)
    builder.add_text_field("text", tokenizer_name="en_stem", index_option="freq")
    builder.add_text_field("term", tokenizer_name="raw", index_option="basic")
    return builder.build()


class WordsWriter:
    """Writes the index; complete once the block has ended well."""

    def __init__(self, folder: Path) -> None:
        tantivy = _tantivy()
        folder.mkdir(parents=True)
        self._document = tantivy.Document
        self._writer = tantivy.Index(_schema(tantivy), path=str(folder)).writer(_MEMORY, num_threads=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self._writer.commit()
        self._writer.wait_merging_threads()

    def add(self, rows: pa.Table, texts: pa.Table) -> None:
        """Rows of the index, and beside each its title, alt-text and caption in one text."""
        columns = [rows[name].to_pylist() for name in ("id", "score", *TERMS)]
        for said, number, score, *terms in zip(texts["text"].to_pylist(), *columns, strict=True):
            document = self._document()
            document.add_unsigned("id", number)
            if score is not None:
                document.add_float("score", score)
            document.add_text("text", said)
            for name, value in zip(TERMS, terms, strict=True):
                if value is not None:
                    document.add_text("term", f"{name}={value}")
            self._writer.add_document(document)


class WordsIndex:
    """The open index."""

    def __init__(self, folder: Path) -> None:
        tantivy = _tantivy()
        self._tantivy = tantivy
        self._index = tantivy.Index.open(str(folder))
        self._schema = _schema(tantivy)
        self._searcher = self._index.searcher()

    def search(
        self,
        words: str,
        terms: Mapping[str, Sequence[str]],
        *,
        scores: tuple[float | None, float | None] = (None, None),
        within: Sequence[int] | None = None,
        without: Sequence[int] = (),
        skip: int = 0,
        most: int,
    ) -> tuple[list[int], int]:
        """Numbers of the rows that hold all the words, the best match first, and how many rows do.

        ``terms`` are columns with the values that are allowed; ``within`` and ``without`` are row numbers. Whatever is
        typed is words: none of it is an operator.
        """
        tantivy, schema = self._tantivy, self._schema
        must, never = tantivy.Occur.Must, tantivy.Occur.MustNot
        parts = [(must, query) for query in self._words(words)]
        for name, values in terms.items():
            if values:
                parts.append((must, self._any_of("term", [f"{name}={value}" for value in values])))
        low, high = scores
        if low is not None or high is not None:
            parts.append((must, tantivy.Query.range_query(schema, "score", tantivy.FieldType.Float, low, high)))
        if within is not None:
            parts.append((must, self._any_of("id", within)))
        if without:
            parts.append((never, self._any_of("id", without)))
        if not any(occur == must for occur, _ in parts):
            return [], 0
        result = self._searcher.search(
            tantivy.Query.boolean_query(parts), min(most, MOST_FOUND - skip), offset=skip, count=True
        )
        return [self._searcher.doc(address)["id"][0] for _, address in result.hits], result.count or 0

    def _words(self, words: str) -> list[Any]:
        """One query a word; a word of which nothing is left but signs asks for nothing."""
        cleaned = "".join(letter if letter.isalnum() else " " for letter in words).split()
        return [self._index.parse_query(word.lower(), ["text"]) for word in cleaned[:_MOST_WORDS]]

    def _any_of(self, field: str, values: Sequence[Any]) -> Any:
        return self._tantivy.Query.term_set_query(self._schema, field, list(values))
