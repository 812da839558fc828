"""Which images of a sealed archive a study may ask about, and why others are left out."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from moodarchive.errors import NotAnArchiveError
from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH, PRIVATE
from moodarchive.tables.parquet import read_table as read_parquet
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import CAPTIONS, IMAGES, ITEMS, SELECTION, SHARD_INDEX
from moodarchive.tables.sql import connect, view

_NOT_TO_BE_SHOWN = ("by-nd", "by-nc-nd")
"""A smaller copy may count as an adaptation, which these licences do not let pass on."""
_FRAME = """
WITH hidden AS (SELECT unnest(?::VARCHAR[]) AS key)
SELECT k.key, k.part, k.emotion, k.context, k.split, d.source, i.sha256 AS hash, c.model,
       CASE WHEN list_contains(?, lower(split_part(d.licence, ' ', 1))) THEN 'licence allows no adaptation'
            WHEN d.licence IS NULL AND d.licence_url IS NULL THEN 'no licence stated'
            WHEN h.key IS NOT NULL THEN 'in a private shard'
            WHEN coalesce(d.mature, false) THEN 'marked as mature'
            WHEN coalesce(trim(d.alt_text), '') = '' AND coalesce(trim(d.title), '') = '' THEN 'no alt-text' END AS why
FROM selection k JOIN items d USING (key) JOIN images i USING (key) JOIN captions c USING (key)
     LEFT JOIN hidden h USING (key)
WHERE k.kept ORDER BY k.key
"""
_TEXTS = """
SELECT d.key, coalesce(nullif(trim(d.alt_text), ''), trim(d.title)) AS original, c.summary, c.stimuli, c.assessment,
       coalesce(d.title, '') AS title, coalesce(d.creator, '') AS creator, coalesce(d.licence, '') AS licence,
       coalesce(d.licence_url, '') AS licence_url, coalesce(d.landing_url, '') AS landing_url
FROM items d JOIN captions c USING (key) JOIN chosen USING (key) ORDER BY d.key
"""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The images that may be shown, in key order (``table``: key, part, emotion, …), and why others may not."""

    table: pa.Table
    left_out: dict[str, int]


def read_frame(store: Store) -> Frame:
    """The frame of a sealed archive; NotAnArchiveError for any other root."""
    if not store.exists(MANIFEST_PATH):
        raise NotAnArchiveError(f"{store.root} is not sealed: it has no {MANIFEST_PATH}; remedy: moodarchive run")
    parts = sorted(finished_parts(store, SELECTION))
    with connect(store) as connection:
        view(connection, store, SELECTION, parts, "*, parse_filename(filename, true)::INTEGER AS part")
        view(connection, store, ITEMS, parts)
        view(connection, store, IMAGES, parts, "key, sha256")
        view(connection, store, CAPTIONS, parts)
        answer = connection.sql(_FRAME, params=[_private_keys(store), list(_NOT_TO_BE_SHOWN)]).to_arrow_table()
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
