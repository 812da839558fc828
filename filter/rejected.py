"""Which captions people refused: the verdicts of the human study, as the cut reads them."""

import duckdb

from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import CAPTIONS, HUMAN_VERDICTS
from moodarchive.tables.sql import view

# A verdict holds for the caption that people saw, not for one that was written since: captions are compared by the
# digest that the study took (of the five sentences as JSON). Rehearsals by programs reject nothing.
_REJECTED = """
CREATE TABLE rejected AS
SELECT v.key FROM human_verdicts v JOIN captions c USING (key)
WHERE v.accepted = false AND NOT v.simulated AND c.status = 'ok'
  AND v.caption_hash = left(sha256(to_json(list_concat([c.summary], c.stimuli, [c.assessment]))::VARCHAR), 16)
"""


def mark_rejected(connection: duckdb.DuckDBPyConnection, store: Store, *, cut: bool) -> None:
    """Makes the table ``rejected`` (key); empty unless rejected captions are to be cut."""
    parts = sorted(finished_parts(store, HUMAN_VERDICTS)) if cut else []
    view(connection, store, HUMAN_VERDICTS, parts)
    view(connection, store, CAPTIONS, parts)
    connection.execute(_REJECTED)
    connection.execute("DROP VIEW human_verdicts")


def verdict_digests(store: Store) -> dict[str, str]:
    """``human_verdicts/NNNNN`` → sha256 of the people's verdicts as they are now."""
    return {
        f"{HUMAN_VERDICTS.name}/{part:05d}": done.sha256 for part, done in finished_parts(store, HUMAN_VERDICTS).items()
    }
