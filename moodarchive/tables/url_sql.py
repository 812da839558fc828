"""``normalised(url)`` in DuckDB: plain addresses in SQL, the others in Python; equal to ``keys.normalised_url``."""

import duckdb
import pyarrow as pa
from duckdb.func import PythonUDFType

from moodarchive.keys import TRACKING, normalised_url

_SAFE = r"[A-Za-z0-9._~%+@:,=!-]"
# no upper-case scheme, port, fragment, user, blank or foreign letter; in the query nothing that is encoded anew
_PLAIN = rf"https?://[A-Za-z0-9.-]+(/({_SAFE}|/)*)?"
_PAIR = r"[A-Za-z0-9._~+-]*(=[A-Za-z0-9._~+-]*)?"
_PLAIN_QUERY = rf"{_PLAIN}\?{_PAIR}(&{_PAIR})*"
_TRACKED = " OR ".join(f"starts_with(pair, '{prefix}')" for prefix in TRACKING)
# pairs are sorted by name, then by value: the smallest character stands between the two, so that a name comes before
# the longer ones that begin with it
_QUERY = f"""replace(list_aggregate(list_sort(list_transform(
    list_filter(string_split(split_part(url, '?', 2), '&'), lambda pair: pair <> '' AND NOT ({_TRACKED})),
    lambda pair: CASE WHEN contains(pair, '=') THEN replace(pair, '=', chr(1)) ELSE pair || chr(1) END)),
    'string_agg', '&'), chr(1), '=')"""
_PATH = """(lower(regexp_extract(url, '^https?:(//[^/?]+)', 1))
    || coalesce(nullif(regexp_extract(split_part(url, '?', 1), '^https?://[^/]+(/.*)$', 1), ''), '/'))"""
_MACRO = f"""
CREATE MACRO normalised(url) AS CASE
    WHEN regexp_full_match(url, '{_PLAIN}') THEN {_PATH}
    WHEN regexp_full_match(url, '{_PLAIN_QUERY}') THEN {_PATH} || coalesce('?' || nullif({_QUERY}, ''), '')
    ELSE normalised_in_python(url) END
"""


def define_normalised(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes ``normalised(url)`` known to the connection."""
    connection.create_function("normalised_in_python", _batch, ["VARCHAR"], "VARCHAR", type=PythonUDFType.ARROW)
    connection.execute(_MACRO)


def _batch(urls: pa.ChunkedArray) -> pa.Array:
    return pa.array([None if url is None else normalised_url(url) for url in urls.to_pylist()], pa.string())
