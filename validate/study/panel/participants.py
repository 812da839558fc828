"""Who came from the panel and how far they are, beside the answers in the page's SQLite file; ids only as hashes."""

import json
import secrets
import sqlite3
import time
from collections.abc import Collection
from dataclasses import dataclass

from validate.study.design.questions import GENERATED
from validate.study.page.ledger import Annotator, Ledger

ACTIVE, COMPLETED, SCREENED_OUT, DECLINED = "active", "completed", "screened out", "declined"
_TABLES = """
CREATE TABLE IF NOT EXISTS participants (
    name TEXT PRIMARY KEY REFERENCES annotators (name), submission TEXT NOT NULL UNIQUE, state TEXT NOT NULL,
    consented INTEGER NOT NULL DEFAULT 0, joined REAL NOT NULL, active REAL NOT NULL, ended REAL);
CREATE TABLE IF NOT EXISTS keys (purpose TEXT PRIMARY KEY, token TEXT NOT NULL);
"""
GUEST = "guest-"


@dataclass(frozen=True, kw_only=True)
class Participant:
    """One participant; ``submission`` is the hash of the panel's id of this visit. Times are Unix seconds."""

    name: str
    submission: str
    state: str
    consented: bool
    joined: float
    active: float
    ended: float | None


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a participant has answered: gold questions, how many of them rightly, and items (surplus included)."""

    gold: int
    passed: int
    items: int


class Full(Exception):
    """Every place is taken, or the study is closed."""


class Foreign(Exception):
    """The submission belongs to another participant."""


class Participants:
    """The participants of one ledger. A place is taken by who completed the study, and by who is at work in it."""

    def __init__(self, ledger: Ledger, *, places: int, idle: float, closes: float) -> None:
        self._ledger, self._places, self._idle, self._closes = ledger, places, idle, closes
        with ledger.transaction() as db:
            for statement in filter(str.strip, _TABLES.split(";")):
                db.execute(statement)

    def join(self, participant: str, submission: str) -> str:
        """The token of this participant's link; both names are hashes. Full and Foreign say why there is none."""
        now = time.time()
        name = f"participant-{participant}"
        with self._ledger.transaction() as db:
            owner = db.execute("SELECT name FROM participants WHERE submission = ?", (submission,)).fetchone()
            if owner is not None and owner[0] != name:
                raise Foreign
            known = db.execute("SELECT state, active FROM participants WHERE name = ?", (name,)).fetchone()
            if known is None:
                self._require_place(db, name, now)
                db.execute("INSERT OR IGNORE INTO annotators (name, token) VALUES (?, ?)", (name, _token()))
                db.execute(
                    "INSERT INTO participants (name, submission, state, joined, active) VALUES (?, ?, ?, ?, ?)",
                    (name, submission, ACTIVE, now, now),
                )
            elif known[0] == ACTIVE:
                if known[1] < now - self._idle:
                    self._require_place(db, name, now, late=True)
                # a participant who returned the study and takes it again is paid by the new submission
                db.execute("UPDATE participants SET submission = ?, active = ? WHERE name = ?", (submission, now, name))
            return str(db.execute("SELECT token FROM annotators WHERE name = ?", (name,)).fetchone()[0])

    def _require_place(self, db: sqlite3.Connection, name: str, now: float, *, late: bool = False) -> None:
        if now > self._closes and not late:
            raise Full
        taken = db.execute(
            "SELECT count(*) FROM participants WHERE name <> ? AND (state = ? OR (state = ? AND active >= ?))",
            (name, COMPLETED, ACTIVE, now - self._idle),
        ).fetchone()[0]
        if self._places and taken >= self._places:
            raise Full

    def find(self, name: str) -> Participant | None:
        """The participant; None for an annotator who came another way."""
        with self._ledger.transaction() as db:
            row = db.execute("SELECT * FROM participants WHERE name = ?", (name,)).fetchone()
        return _participant(row) if row else None

    def touch(self, name: str) -> None:
        """The participant is at work. Full when the place went to another meanwhile."""
        now = time.time()
        with self._ledger.transaction() as db:
            known = db.execute("SELECT active FROM participants WHERE name = ?", (name,)).fetchone()
            if known is not None and known[0] < now - self._idle:
                self._require_place(db, name, now, late=True)
            db.execute("UPDATE participants SET active = ? WHERE name = ?", (now, name))

    def agree(self, name: str) -> None:
        """The participant agreed to the consent text."""
        with self._ledger.transaction() as db:
            db.execute("UPDATE participants SET consented = 1 WHERE name = ? AND state = ?", (name, ACTIVE))

    def withdraw(self, name: str) -> None:
        """The participant did not agree, or agrees no longer: nothing of theirs is kept."""
        with self._ledger.transaction() as db:
            db.execute(
                "UPDATE participants SET state = ?, consented = 0, ended = ? WHERE name = ? AND state = ?",
                (DECLINED, time.time(), name, ACTIVE),
            )
            if db.execute("SELECT state FROM participants WHERE name = ?", (name,)).fetchone() == (DECLINED,):
                for table in ("answers", "surplus", "leases"):
                    db.execute(f"DELETE FROM {table} WHERE annotator = ?", (name,))

    def end(self, name: str, state: str) -> None:
        """Ends the participant's way for good; what they hold is free."""
        with self._ledger.transaction() as db:
            db.execute(
                "UPDATE participants SET state = ?, ended = ? WHERE name = ? AND state = ?",
                (state, time.time(), name, ACTIVE),
            )
            db.execute("DELETE FROM leases WHERE annotator = ?", (name,))

    def work_of(self, name: str, gold: Collection[str]) -> Work:
        """What the participant has answered so far."""
        with self._ledger.transaction() as db:
            rows = db.execute(
                "SELECT item, answer FROM answers WHERE annotator = ?1 UNION ALL "
                "SELECT item, answer FROM surplus WHERE annotator = ?1", (name,)
            ).fetchall()  # fmt: skip
        checks = [json.loads(answer) for item, answer in rows if item in gold]
        return Work(gold=len(checks), passed=sum(map(passes_gold, checks)), items=len(rows) - len(checks))

    def everyone(self) -> list[Participant]:
        """All of them, in the order in which they came."""
        with self._ledger.transaction() as db:
            rows = db.execute("SELECT * FROM participants ORDER BY joined, name").fetchall()
        return [_participant(row) for row in rows]

    def key(self, purpose: str) -> str:
        """A secret part of an address, the same for as long as the file lives."""
        with self._ledger.transaction() as db:
            db.execute("INSERT OR IGNORE INTO keys VALUES (?, ?)", (purpose, _token()))
            return str(db.execute("SELECT token FROM keys WHERE purpose = ?", (purpose,)).fetchone()[0])

    def invite_guest(self, most: int) -> Annotator:
        """A link for one who came by the open invitation. Full when so many came, or it is over."""
        with self._ledger.transaction() as db:
            count = db.execute("SELECT count(*) FROM annotators WHERE name LIKE ?", (f"{GUEST}%",)).fetchone()[0]
            if count >= most or time.time() > self._closes:
                raise Full
            guest = Annotator(name=f"{GUEST}{count + 1}", token=_token(), trained=False)
            db.execute("INSERT INTO annotators (name, token) VALUES (?, ?)", (guest.name, guest.token))
        return guest


def passes_gold(answer: dict[str, object]) -> bool:
    """True for an answer to a gold question that refuses the caption and calls its first sentence wrong."""
    accurate = answer["accurate"]
    return answer["choice"] != GENERATED and isinstance(accurate, list) and accurate[0] is False


def _participant(row: tuple[object, ...]) -> Participant:
    name, submission, state, consented, joined, active, ended = row
    return Participant(
        name=str(name), submission=str(submission), state=str(state), consented=bool(consented),
        joined=float(joined), active=float(active), ended=None if ended is None else float(ended),  # type: ignore[arg-type]
    )  # fmt: skip


def _token() -> str:
    return secrets.token_urlsafe(24)
