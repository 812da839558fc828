"""Known images that a later round found under a better emotion: the round that judges them anew, and its cell."""

import json
from collections.abc import Sequence
from pathlib import PurePosixPath

import duckdb
import pyarrow as pa

from moodarchive.archive.pruned import read_pruned
from moodarchive.emotions.taxonomy import EMOTIONS
from moodarchive.errors import DamagedPartError
from moodarchive.storage.store import Store
from moodarchive.tables.layout import SEALS_FOLDER
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import IMAGES, REDISCOVERED, SCORES
from moodarchive.tables.sql import location, view

# What each later round asked of an image that the cut judges: its emotions, each in the context of its best rank.
_ASKED = """
CREATE TABLE asked AS
SELECT r.key, r.round, r.query.emotion AS emotion, arg_min(r.query.context, r.place) AS context
FROM (SELECT key, round, unnest(queries) AS query, generate_subscripts(queries, 1) AS place FROM rediscovered) r
     JOIN judged j ON j.key = r.key AND j.round < r.round AND j.reason IS NULL ANTI JOIN marked m ON m.key = r.key
GROUP BY ALL
"""
# Each round's best emotion as filter/score.py finds it; it counts where it beats all that earlier rounds found.
_ANEW = """
CREATE TABLE anew AS
WITH scored AS (
    SELECT a.*, s.emotion_scores[list_position($emotions, a.emotion)] AS score
    FROM asked a JOIN scores s USING (key) ANTI JOIN lost l ON l.key = a.key AND l.since <= a.round),
best AS (
    SELECT * FROM scored WHERE score IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY key, round ORDER BY score DESC, emotion DESC) = 1),
compared AS (
    SELECT b.*, j.score AS first, max(b.score) OVER earlier AS before FROM best b JOIN judged j USING (key)
    WINDOW earlier AS (PARTITION BY b.key ORDER BY b.round ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING))
SELECT key, round, emotion, context, score FROM compared WHERE score > greatest(first, coalesce(before, first))
"""
_LATEST = "CREATE TABLE latest AS FROM anew QUALIFY row_number() OVER (PARTITION BY key ORDER BY round DESC) = 1"
_LOST = """
INSERT INTO lost
SELECT v.key, ? FROM read_parquet(?) v JOIN judged j USING (key) JOIN pruned p USING (part)
WHERE v.reason <> 'taken_down' AND p.seal <= ? AND v.key IN (SELECT key FROM asked)
"""


def find_anew(connection: duckdb.DuckDBPyConnection, store: Store, parts: Sequence[int], rounds: Sequence[int]) -> None:
    """Makes ``anew`` (key, round, emotion, context, score) from ``judged`` and ``marked``, and ``latest``.

    A row of ``anew`` says: in this round the image beat all its scores of earlier rounds. ``latest`` has its last one,
    under which it is judged. ``rounds`` are those that the parts make up.
    """
    done = finished_parts(store, REDISCOVERED)
    view(connection, store, REDISCOVERED, [number for number in rounds if number in done and done[number].rows])
    view(connection, store, SCORES, parts, "key, emotion_scores")
    connection.execute(_ASKED)
    _mark_lost(connection, store)
    connection.execute(_ANEW, {"emotions": list(EMOTIONS)})
    connection.execute(_LATEST)


def _mark_lost(connection: duckdb.DuckDBPyConnection, store: Store) -> None:
    """Makes ``lost`` (key, since): images whose picture is nowhere since a seal; no round from ``since`` on counts.

    They were cut at a seal when their part of images/ had been pruned. A later round must not bring them back.
    """
    connection.execute("CREATE TABLE lost (key VARCHAR, since INTEGER)")
    pruned = read_pruned(store).standing(store, finished_parts(store, IMAGES)).files
    if not pruned:
        return
    columns = {
        "part": [int(PurePosixPath(path).stem) for path in pruned],
        "seal": [file.seal for file in pruned.values()],
    }
    connection.register("pruned", pa.table(columns))
    for name in store.names(SEALS_FOLDER):
        seal = name.removesuffix(".json")
        if seal.isdigit() and int(seal) >= min(columns["seal"]):
            verdicts = location(store, f"{SEALS_FOLDER}/{seal}.parquet")
            connection.execute(_LOST, [_rounds_at(store, name), verdicts, int(seal)])


def _rounds_at(store: Store, name: str) -> int:
    """How many rounds had been merged at the seal."""
    try:
        return int(json.loads(store.read_bytes(f"{SEALS_FOLDER}/{name}"))["counts"][REDISCOVERED.name]["parts"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedPartError(
            f"{store.root}/{SEALS_FOLDER}/{name} is no record of a seal ({error!r}); remedy: restore it from a copy"
        ) from None
