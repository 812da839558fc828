"""What a match of a catalogue read, left out and found, cell by cell: a record under the root for people."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from moodarchive.storage.store import Store
from moodarchive.tables.keys import canonical_json

FOLDER = "crawl/catalogues"
_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class FileCoverage:
    """One file of the list: its rows, those that may enter, and why others do not; ``examples`` names a few."""

    name: str
    rows: int
    accepted: int
    left_out: Mapping[str, int]
    examples: Mapping[str, list[str]]
    licences_refused: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class CellCoverage:
    """One emotion and context: its phrases, how often a row fitted one, the rows taken, and the weakest of these.

    A row that fits several phrases is counted in ``fitting`` for each, and once in ``taken``.
    """

    emotion: str
    context: str
    phrases: int
    phrases_without_rows: int
    fitting: int
    taken: int
    weakest_score: float | None
    weakest_phrase: str | None


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """One match."""

    catalogue: str
    preset: str
    release: str
    match: str
    phrases: int
    phrases_without_rows: list[str]
    files: list[FileCoverage]
    cells: list[CellCoverage]

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(file.rows for file in self.files)

    @property
    def accepted(self) -> int:
        """Rows of all files that may enter."""
        return sum(file.accepted for file in self.files)

    @property
    def left_out(self) -> Counter[str]:
        """Rows of all files that are none, by reason."""
        return sum((Counter(file.left_out) for file in self.files), Counter[str]())

    @property
    def licences_refused(self) -> Counter[str]:
        """Rows of all files whose licence may not enter, by licence."""
        return sum((Counter(file.licences_refused) for file in self.files), Counter[str]())

    def summary(self) -> list[str]:
        """Lines for the terminal."""
        lines = [
            f"{self.catalogue}: {self.rows:,} rows in {len(self.files):,} files, {self.accepted:,} may enter; "
            f"{self.phrases - len(self.phrases_without_rows):,} of {self.phrases:,} phrases found rows"
        ]
        lines += [f"  left out: {why} {count:,}" for why, count in self.left_out.most_common()]
        lines += [f"  licence not accepted: {name} {count:,}" for name, count in self.licences_refused.most_common()]
        if self.phrases_without_rows:
            named = ", ".join(map(repr, self.phrases_without_rows[:_NAMED]))
            more = len(self.phrases_without_rows) - _NAMED
            lines.append(f"  found nothing: {named}" + (f" and {more:,} more" if more > 0 else ""))
        return lines


def write_coverage(store: Store, name: str, coverage: Coverage) -> None:
    """Keeps the record of the match called ``name``."""
    store.write_bytes(f"{FOLDER}/{name}.json", (canonical_json(asdict(coverage)) + "\n").encode())


def read_coverage(store: Store, catalogue: str = "") -> list[Coverage]:
    """The records of all matches, or of one catalogue's, in the order of their names."""
    records = [_parse(json.loads(store.read_bytes(path))) for path in store.files(FOLDER) if path.endswith(".json")]
    return [record for record in records if catalogue in ("", record.catalogue)]


def _parse(fields: dict[str, Any]) -> Coverage:
    files = [FileCoverage(**file) for file in fields.pop("files")]
    cells = [CellCoverage(**cell) for cell in fields.pop("cells")]
    return Coverage(**fields, files=files, cells=cells)
