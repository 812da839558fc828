"""Which images of a sealed archive a study may ask about, and why others are left out."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from moodarchive.errors import NotAnArchiveError
from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH, PRIVATE
from moodarchive.tables.parquet import read_table as read_parquet
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import CAPTIONS, IMAGES, ITEMS, SAFETY, SELECTION, SHARD_INDEX
from moodarchive.tables.sql import PART, connect, view

_NO_ADAPTATION = ("by-nd", "by-nc-nd")
"""A smaller copy may count as an adaptation, which these licences do not let pass on."""
_FRAME = """
WITH hidden AS (SELECT unnest($private_keys::VARCHAR[]) AS key),
kept AS (
    SELECT k.key, k.part, k.emotion, k.context, k.split, d.source, d.licence, d.licence_url, d.mature, d.alt_text,
           d.title, h.key IS NOT NULL AS hidden, coalesce('doubtful' IN (k.verdict, f.verdict), false) AS doubtful
    FROM selection k JOIN items d USING (key) JOIN safety f USING (key) LEFT JOIN hidden h USING (key) WHERE k.kept)
SELECT k.key, k.part, k.emotion, k.context, k.split, k.source, i.sha256 AS hash, c.model, k.doubtful,
       CASE WHEN list_contains($no_adaptation, lower(split_part(k.licence, ' ', 1))) THEN 'licence allows no adaptation'
            WHEN k.licence IS NULL AND k.licence_url IS NULL THEN 'no licence stated'
            WHEN k.hidden AND NOT k.doubtful THEN 'in a private shard'
            WHEN k.doubtful AND EXISTS (
                FROM withheld w WHERE w.source IS NOT DISTINCT FROM k.source
                    AND w.licence IS NOT DISTINCT FROM k.licence AND w.licence_url IS NOT DISTINCT FROM k.licence_url)
                THEN 'in a private shard'
            WHEN coalesce(k.mature, false) THEN 'marked as mature'
            WHEN coalesce(trim(k.alt_text), '') = '' AND coalesce(trim(k.title), '') = '' THEN 'no alt-text'
            WHEN k.doubtful AND NOT $with_doubtful THEN 'doubtful' END AS why
FROM kept k JOIN images i USING (key) JOIN captions c USING (key) ORDER BY k.key
"""
_TEXTS = """
SELECT d.key, coalesce(nullif(trim(d.alt_text), ''), trim(d.title)) AS original, c.summary, c.stimuli, c.assessment,
       coalesce(d.title, '') AS title, coalesce(d.creator, '') AS creator, coalesce(d.licence, '') AS licence,
       coalesce(d.licence_url, '') AS licence_url, coalesce(d.landing_url, '') AS landing_url
FROM items d JOIN captions c USING (key) JOIN chosen USING (key) ORDER BY d.key
"""


Withholds = Callable[[str, str | None, str | None], bool]
"""True for a source, licence and licence's address under which images may lie in private shards only."""


def withhold_nothing(source: str, licence: str | None, licence_url: str | None) -> bool:
    """No terms keep an image private."""
    return False


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The images that may be shown, in key order (``table``: key, part, doubtful, …), and why others may not."""

    table: pa.Table
    left_out: dict[str, int]


def read_frame(store: Store, *, with_doubtful: bool = False, is_withheld: Withholds = withhold_nothing) -> Frame:
    """The frame of a sealed archive, doubtful pictures in it or left out; NotAnArchiveError for any other root.

    All doubtful pictures lie in private shards, so ``is_withheld`` tells of which of them the terms ask for it too.
    """
    if not store.exists(MANIFEST_PATH):
        raise NotAnArchiveError(f"{store.root} is not sealed: it has no {MANIFEST_PATH}; remedy: moodarchive run")
    parts = sorted(finished_parts(store, SELECTION))
    with connect(store) as connection:
        view(connection, store, SELECTION, parts, f"*, {PART}")
        view(connection, store, ITEMS, parts)
        view(connection, store, SAFETY, parts, "key, verdict")
        view(connection, store, IMAGES, parts, "key, sha256")
        view(connection, store, CAPTIONS, parts, "key, model")
        terms = connection.sql("SELECT DISTINCT source, licence, licence_url FROM items").to_arrow_table()
        withheld = [is_withheld(*row.values()) for row in terms.to_pylist()]
        connection.register("withheld", terms.filter(pa.array(withheld, pa.bool_())))
        values = {
            "private_keys": _private_keys(store),
            "no_adaptation": list(_NO_ADAPTATION),
            "with_doubtful": with_doubtful,
        }
        answer = connection.sql(_FRAME, params=values).to_arrow_table()
    why = answer["why"].to_pylist()
    left_out = Counter(reason for reason in why if reason)
    return Frame(
        table=answer.filter(pa.array([not reason for reason in why])).drop(["why"]),
        left_out=dict(sorted(left_out.items())),
    )


def read_texts(store: Store, keys: "list[str]") -> "dict[str, dict[str, object]]":
    """What is shown of each key: both texts, and whom the picture is from."""
    parts = sorted(finished_parts(store, SELECTION))
    with connect(store) as connection:
        view(connection, store, ITEMS, parts)
        view(connection, store, CAPTIONS, parts)
        connection.register("chosen", pa.table({"key": pa.array(keys, pa.string())}))
        table = connection.sql(_TEXTS).to_arrow_table()
    return {str(row["key"]): row for row in table.to_pylist()}


def _private_keys(store: Store) -> list[str]:
    return list(_keys_of_set(store, PRIVATE))


def _keys_of_set(store: Store, name: str) -> Iterator[str]:

    for sidecar in finished_parts(store, SHARD_INDEX).values():
        for path in sidecar.files:
            if path.startswith(f"shards/{name}/") and path.endswith(".parquet"):
                with store.open_read(path) as file:
                    yield from read_parquet(file, columns=["key"])["key"].to_pylist()
