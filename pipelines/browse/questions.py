"""What the page asks of the index: a wall of rows under filters, one value's counts, look-alikes, cells and phrases."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from moodarchive.errors import UsageError
from moodarchive.tables.layout import SETS
from pipelines.browse.index import Index, name_key
from pipelines.browse.vectors import Vector, VectorsIndex
from pipelines.browse.words import MOST_FOUND, TERMS, WordsIndex

SORTS = {"archive": "id", "best": "-coalesce(score, -9)", "worst": "coalesce(score, 9)", "shuffled": "hash(id)"}
"""What the wall can be sorted by; of equal values the earlier row of the archive comes first."""
HUMAN = ("accepted", "rejected", "undecided", "none")
MARKS = ("good", "reject", "takedown", "none")
MOST_ROWS = 240
MOST_SIMILAR = 240
MOST_VALUES = 60
"""Of a column with more values (licences as sites write them), the page offers the most frequent ones."""
NEAR_BITS = 10
"""Look-alikes differ in at most so many of the 64 bits of the perceptual hash; the cut drops those within 3."""
WEAK = 20
"""A cell with fewer images in the archive is called weak: the cut judges such a one together with its neighbours."""
_SHOWN = (
    'id, key, emotion, context, source, licence, score, reason, "set", verdict, '
    'stored OR "set" IS NOT NULL AS stored, title'
)


class BadQuestion(UsageError):
    """The page, or somebody in its place, asked for something that there is not."""


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which rows are wanted, and in which order. Every column's values are alternatives; columns narrow each other."""

    terms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    low: float | None = None
    high: float | None = None
    human: tuple[str, ...] = ()
    mark: tuple[str, ...] = ()
    words: str = ""
    sort: str = "archive"

    @classmethod
    def read(cls, pairs: Sequence[tuple[str, str]]) -> "Filters":
        """From an address's query; BadQuestion names what is wrong."""
        values: dict[str, list[str]] = {}
        for name, value in pairs:
            if value:
                values.setdefault(name, []).append(value)
        sort = values.get("sort", ["archive"])[0]
        _require(sort in SORTS, f"sort {sort!r}", SORTS)
        for name, legal in (("human", HUMAN), ("mark", MARKS)):
            for value in values.get(name, ()):
                _require(value in legal, f"{name} {value!r}", legal)
        return cls(
            terms={name: tuple(values[name]) for name in TERMS if name in values},
            low=_number("low", values),
            high=_number("high", values),
            human=tuple(values.get("human", ())),
            mark=tuple(values.get("mark", ())),
            words=values.get("words", [""])[0][:400],
            sort=sort,
        )

    def where(self) -> tuple[str, list[Any]]:
        """The condition in SQL, words left out, and its values."""
        conditions, values = ["true"], list[Any]()
        for name, allowed in self.terms.items():
            conditions.append(f'"{name}" IN ({", ".join("?" * len(allowed))})')
            values += [int(value) if name == "round" and value.lstrip("-").isdigit() else value for value in allowed]
        for bound, sign in ((self.low, ">="), (self.high, "<=")):
            if bound is not None:
                conditions.append(f"score {sign} ?::FLOAT")
                values.append(bound)
        for chosen, said in ((self.human, _OF_HUMAN), (self.mark, _OF_MARK)):
            if chosen:
                conditions.append("(" + " OR ".join(said[value] for value in chosen) + ")")
        return " AND ".join(conditions), values


_OF_HUMAN = {
    "accepted": "key IN (SELECT key FROM known.human WHERE accepted)",
    "rejected": "key IN (SELECT key FROM known.human WHERE NOT accepted)",
    "undecided": "key IN (SELECT key FROM known.human WHERE accepted IS NULL)",
    "none": "key NOT IN (SELECT key FROM known.human)",
}
_OF_MARK = {
    **{mark: f"key IN (SELECT key FROM marks WHERE mark = '{mark}')" for mark in MARKS if mark != "none"},
    "none": "key NOT IN (SELECT key FROM marks)",
}


def _require(holds: bool, what: str, legal: Sequence[str] | Mapping[str, str]) -> None:
    if not holds:
        raise BadQuestion(f"there is no {what}; legal: {', '.join(legal)}")


def _number(name: str, values: Mapping[str, Sequence[str]]) -> float | None:
    if name not in values:
        return None
    try:
        number = float(values[name][0])
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadQuestion(f"{name} {values[name][0]!r} is no number")
    return number


@dataclass(frozen=True)
class Questions:
    """The open index and the index of words."""

    index: Index
    words: WordsIndex
    vectors: VectorsIndex | None = None

    def wall(self, filters: Filters, after: str = "", most: int = 60) -> dict[str, Any]:
        """The next rows, how the ones after them are asked for (none at the end), and at first how many there are."""
        most = max(1, min(most, MOST_ROWS))
        if filters.words:
            return self._wall_of_words(filters, after, most)
        where, values = filters.where()
        order = SORTS[filters.sort]
        answer: dict[str, Any] = {}
        if not after:
            count = self.index.cursor().execute(f"SELECT count(*) FROM known.rows WHERE {where}", values).fetchone()
            answer["total"] = count[0] if count else 0
        seek = ""
        if after:
            value, number = _read_cursor(after)
            seek = f" AND ({order} > ? OR ({order} = ? AND id > ?))" if order != "id" else " AND id > ?"
            values = [*values, value, value, number] if order != "id" else [*values, number]
        ids = self.index.cursor().execute(
            f"SELECT id, {order} FROM known.rows WHERE {where}{seek} ORDER BY {order}, id LIMIT {most}", values
        ).fetchall()  # fmt: skip
        answer["rows"] = self.rows([number for number, _ in ids])
        answer["next"] = json.dumps([ids[-1][1], ids[-1][0]]) if len(ids) == most else None
        return answer

    def _wall_of_words(self, filters: Filters, after: str, most: int) -> dict[str, Any]:
        skip = int(_read_cursor(after)[1]) if after else 0
        if skip >= MOST_FOUND:
            return {"rows": [], "next": None}
        within, without = self._within(filters)
        ids, total = self.words.search(
            filters.words, filters.terms, scores=(filters.low, filters.high), within=within, without=without,
            skip=skip, most=most,
        )  # fmt: skip
        answer = {"rows": self.rows(ids), "next": json.dumps([0, skip + len(ids)]) if len(ids) == most else None}
        return answer | ({} if after else {"total": total})

    def _within(self, filters: Filters) -> tuple[list[int] | None, list[int]]:
        """Numbers of the rows to which marks and people's verdicts narrow a search by words, and of those left out."""
        within: set[int] | None = None
        without: set[int] = set()
        for chosen, said, everything in (
            (filters.human, _OF_HUMAN, "SELECT key FROM known.human"),
            (filters.mark, _OF_MARK, "SELECT key FROM marks"),
        ):
            if not chosen:
                continue
            named = {number for value in chosen if value != "none" for number in self._numbers(said[value])}
            if "none" in chosen:
                without |= set(self._numbers(f"key IN ({everything})")) - named
            else:
                within = named if within is None else within & named
        return (None if within is None else sorted(within)), sorted(without)

    def _numbers(self, condition: str) -> list[int]:
        return [
            row[0] for row in self.index.cursor().execute(f"SELECT id FROM known.rows WHERE {condition}").fetchall()
        ]

    def rows(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """What the wall shows of the rows, in this order."""
        if not numbers:
            return []
        cursor = self.index.cursor()
        cursor.execute(f"SELECT {_SHOWN} FROM known.rows WHERE id IN ({', '.join(map(str, map(int, numbers)))})")
        names = [column[0] for column in cursor.description or ()]
        by_number = {row[0]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}
        keys = [row["key"] for row in by_number.values()]
        marks = self._said("SELECT key, mark FROM marks", keys)
        human = self._said("SELECT key, accepted FROM known.human", keys)
        found = []
        for number in numbers:
            row = by_number[number]
            word = row.pop("key")
            row |= {"key": name_key(word), "mark": marks.get(word), "human": human.get(word, "none")}
            found.append(row)
        return found

    def _said(self, query: str, keys: Sequence[int]) -> dict[int, Any]:
        if not keys:
            return {}
        return dict(self.index.cursor().execute(f"{query} WHERE key IN ({', '.join(map(str, keys))})").fetchall())

    def values(self) -> dict[str, list[tuple[str, int]]]:
        """Of each column that can be filtered the values with their rows, the most frequent first."""
        counted: dict[str, list[tuple[str, int]]] = {}
        for name in TERMS:
            counted[name] = [
                (str(value), count)
                for value, count in self.index.cursor().execute(
                    f'SELECT "{name}", count(*) AS n FROM known.rows WHERE "{name}" IS NOT NULL GROUP BY 1 '
                    f"ORDER BY n DESC, 1 LIMIT {MOST_VALUES}"
                ).fetchall()
            ]  # fmt: skip
        counted["set"].sort(key=lambda pair: SETS.index(pair[0]))
        counted["emotion"].sort()
        return counted

    def look_alikes(self, key: str) -> list[dict[str, Any]]:
        """Rows whose picture's perceptual hash is near the key's, the nearest first, with the bits that differ."""
        number = self.index.number_of(key)
        row = self.index.cursor().execute("SELECT phash FROM known.rows WHERE id = ?", [number]).fetchone()
        if row is None or row[0] is None:
            return []
        near = self.index.cursor().execute(
            f"SELECT id, bit_count(xor(phash, ?::UBIGINT)) AS bits FROM known.rows "
            f"WHERE bits <= {NEAR_BITS} AND id <> ? ORDER BY bits, id LIMIT 60", [row[0], number],
        ).fetchall()  # fmt: skip
        shown = self.rows([number for number, _ in near])
        return [one | {"bits": int(bits)} for one, (_, bits) in zip(shown, near, strict=True)]

    def similar(self, vector: Vector, filters: Filters, without: int | None = None) -> list[dict[str, Any]]:
        """The rows under the filters whose pictures are most like the vector, with cosines; words do not count."""
        vectors = self._require_vectors()
        if len(vector) != vectors.width:
            raise BadQuestion(f"a vector of {len(vector)} numbers, the archive's have {vectors.width}")
        where, values = filters.where()
        allowed = None
        if where != "true":
            allowed = np.zeros(self.index.rows, bool)
            ids = self.index.cursor().execute(f"SELECT id FROM known.rows WHERE {where}", values).fetchnumpy()["id"]
            allowed[np.asarray(ids, np.int64)] = True
        found = vectors.search(vector, MOST_SIMILAR + 1, allowed)
        chosen = [one for one in found if one.number != without][:MOST_SIMILAR]
        shown = self.rows([one.number for one in chosen])
        return [row | {"cosine": one.cosine} for row, one in zip(shown, chosen, strict=True)]

    def vector_of(self, key: str) -> tuple[int, Vector]:
        """The row's number and its picture's vector; BadQuestion for a picture without one."""
        number = self.index.number_of(key)
        vector = None if number is None else self._require_vectors().vector_of(number)
        if number is None or vector is None:
            raise BadQuestion(f"{key} has no vector: it was not scored, or before score.keep_vectors was on")
        return number, vector

    def _require_vectors(self) -> VectorsIndex:
        if self.vectors is None:
            raise BadQuestion("the archive keeps no vectors; remedy: score.keep_vectors = true, before it is scored")
        return self.vectors

    def cells(self) -> list[dict[str, Any]]:
        """Each cell's images, and how many of them are in the archive; the weakest first."""
        rows = self.index.cursor().execute(
            "SELECT emotion, context, count(*) AS found, count(*) FILTER (reason = 'kept') AS kept, avg(score) "
            "FROM known.rows WHERE emotion IS NOT NULL GROUP BY 1, 2 ORDER BY kept, 1, 2"
        ).fetchall()  # fmt: skip
        names = ("emotion", "context", "found", "kept", "score")
        return [dict(zip(names, row, strict=True)) | {"weak": row[3] < WEAK} for row in rows]

    def phrases(self, emotion: str, context: str) -> list[dict[str, Any]]:
        """The cell's search phrases: what each found, how much of it is in the archive and how well it fits."""
        rows = self.index.cursor().execute(
            "SELECT phrase, count(*) AS found, count(*) FILTER (reason = 'kept') AS kept, avg(score) AS score, "
            "count(*) FILTER (key IN (SELECT key FROM marks WHERE mark = 'reject')) AS rejected "
            "FROM known.rows WHERE emotion = ? AND context = ? AND phrase IS NOT NULL GROUP BY 1 "
            "ORDER BY kept / found, found DESC, 1 LIMIT 500", [emotion, context],
        ).fetchall()  # fmt: skip
        names = ("phrase", "found", "kept", "score", "rejected")
        return [dict(zip(names, row, strict=True)) for row in rows]


def _read_cursor(text: str) -> tuple[Any, int]:
    try:
        value, number = json.loads(text)
        if isinstance(value, bool) or not isinstance(value, int | float) or not isinstance(number, int):
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        raise BadQuestion("that is no place in the wall") from None
    return value, number
