"""What annotators did, in one SQLite file: an answer is either stored for good or was never confirmed."""

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEASE_SECONDS = 1800.0
"""An item that somebody looks at is kept for them so long."""
_TABLES = """
CREATE TABLE IF NOT EXISTS annotators (
    name TEXT PRIMARY KEY, token TEXT NOT NULL UNIQUE, trained INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS leases (
    item TEXT NOT NULL, annotator TEXT NOT NULL REFERENCES annotators (name), began REAL NOT NULL, held REAL NOT NULL,
    PRIMARY KEY (item, annotator));
CREATE TABLE IF NOT EXISTS answers (
    item TEXT NOT NULL, annotator TEXT NOT NULL REFERENCES annotators (name), answer TEXT NOT NULL,
    began REAL NOT NULL, submitted REAL NOT NULL, PRIMARY KEY (item, annotator));
CREATE TABLE IF NOT EXISTS surplus (
    item TEXT NOT NULL, annotator TEXT NOT NULL REFERENCES annotators (name), answer TEXT NOT NULL,
    began REAL NOT NULL, submitted REAL NOT NULL, PRIMARY KEY (item, annotator));
CREATE INDEX IF NOT EXISTS answers_of_annotator ON answers (annotator);
"""


@dataclass(frozen=True, kw_only=True)
class Annotator:
    """A person with a link."""

    name: str
    token: str
    trained: bool


@dataclass(frozen=True, kw_only=True)
class KeptAnswer:
    """One stored answer; times are Unix seconds."""

    item: str
    annotator: str
    answer: dict[str, Any]
    began: float
    submitted: float


class Ledger:
    """The file; safe for the threads of one process, and for a reader beside it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        self._connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; " + _TABLES)

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One step of the file: done whole, on the disk, or not at all."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def invite(self, names: Sequence[str]) -> list[Annotator]:
        """Everyone's link; a known name keeps its own."""
        with self.transaction() as db:
            for name in names:
                db.execute("INSERT OR IGNORE INTO annotators (name, token) VALUES (?, ?)", (name, _token()))
            rows = db.execute("SELECT name, token, trained FROM annotators ORDER BY rowid").fetchall()
        return [Annotator(name=name, token=token, trained=bool(trained)) for name, token, trained in rows]

    def annotator(self, token: str) -> Annotator | None:
        """Whose link this is; None for one that was never given out."""
        with self.transaction() as db:
            row = db.execute("SELECT name, token, trained FROM annotators WHERE token = ?", (token,)).fetchone()
        return Annotator(name=row[0], token=row[1], trained=bool(row[2])) if row else None

    def mark_trained(self, name: str) -> None:
        """The annotator has read the training page."""
        with self.transaction() as db:
            db.execute("UPDATE annotators SET trained = 1 WHERE name = ?", (name,))

    def next_item(
        self,
        name: str,
        queue: Sequence[str],
        for_everyone: frozenset[str],
        workers: int,
        hold: float = LEASE_SECONDS,
    ) -> str | None:
        """The annotator's next item, held for them; the same again until it is answered. None when all is done."""
        now = time.time()
        with self.transaction() as db:
            mine = _answered(db, name)
            held = {row[0] for row in db.execute("SELECT item FROM leases WHERE annotator = ?", (name,))}
            taken = dict(
                db.execute(
                    "SELECT item, count(DISTINCT annotator) FROM (SELECT item, annotator FROM answers UNION ALL "
                    "SELECT item, annotator FROM leases WHERE held > ?) WHERE annotator <> ? GROUP BY item",
                    (now, name),
                ).fetchall()
            )
            free = [
                item for item in queue if item not in mine and (item in for_everyone or taken.get(item, 0) < workers)
            ]
            chosen = next((item for item in free if item in held), free[0] if free else None)
            if chosen is not None:
                db.execute(
                    "INSERT INTO leases VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET held = ?4",
                    (chosen, name, now, now + hold),
                )
        return chosen

    def keep(self, name: str, item: str, answer: dict[str, Any], *, most: int | None = None) -> bool:
        """Stores the answer; False when the item was not given to this annotator. A second answer changes nothing.

        With ``most``, an answer beyond that number (the annotator was away for longer than the item was held, and
        others have answered it) is kept as surplus: it counts as this annotator's work, and is imported nowhere.
        """
        with self.transaction() as db:
            lease = db.execute("SELECT began FROM leases WHERE item = ? AND annotator = ?", (item, name)).fetchone()
            if lease is None:
                return item in _answered(db, name)
            others = db.execute(
                "SELECT count(*) FROM answers WHERE item = ? AND annotator <> ?", (item, name)
            ).fetchone()[0]
            table = "answers" if most is None or others < most else "surplus"
            db.execute(
                f"INSERT OR IGNORE INTO {table} VALUES (?, ?, ?, ?, ?)",
                (item, name, json.dumps(answer, sort_keys=True), lease[0], time.time()),
            )
            db.execute("DELETE FROM leases WHERE item = ? AND annotator = ?", (item, name))
        return True

    def progress(self, name: str, queue: Sequence[str], for_everyone: frozenset[str], workers: int) -> tuple[int, int]:
        """How many items the annotator has answered, and how many there are for them in all as things stand."""
        with self.transaction() as db:
            counts = dict(db.execute("SELECT item, count(*) FROM answers WHERE annotator <> ? GROUP BY item", (name,)))
            mine = _answered(db, name)
        left = sum(item not in mine and (item in for_everyone or counts.get(item, 0) < workers) for item in queue)
        return len(mine), len(mine) + left

    def answers(self) -> list[KeptAnswer]:
        """Everything that was answered, the earliest first."""
        with self.transaction() as db:
            rows = db.execute(
                "SELECT item, annotator, answer, began, submitted FROM answers ORDER BY submitted, item, annotator"
            ).fetchall()
        return [
            KeptAnswer(item=item, annotator=annotator, answer=json.loads(answer), began=began, submitted=submitted)
            for item, annotator, answer, began, submitted in rows
        ]


def _answered(db: sqlite3.Connection, name: str) -> set[str]:
    """What the annotator has answered, in time or not."""
    rows = db.execute(
        "SELECT item FROM answers WHERE annotator = ?1 UNION SELECT item FROM surplus WHERE annotator = ?1", (name,)
    )
    return {row[0] for row in rows}


def _token() -> str:
    return secrets.token_urlsafe(24)
