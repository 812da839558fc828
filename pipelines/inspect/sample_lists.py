"""Lists of an archive's samples for people: whom to name, and which are allowed; strangers' texts are made harmless."""

import os
from pathlib import Path

import duckdb
import pyarrow.csv

from moodarchive.errors import ConfigError, StorageError
from moodarchive.storage.store import Store

_ROWS_AT_ONCE = 50_000
# nothing that a terminal, a browser or a spreadsheet would act on: control and bidirectional characters become blanks
_UNSEEN = r"[\x00-\x20\x7f-\x{a0}\x{ad}\x{200b}-\x{200f}\x{2028}-\x{202f}\x{2060}-\x{206f}\x{feff}]+"
_PLAIN = "[!-~]+( [!-~]+)*"
"""Most texts, which take a tenth of the time."""
_LINK = r"https?://[A-Za-z0-9\[][^\x00-\x20\x7f-\x{a0}\x{200b}-\x{206f}\x{feff}<>\"`|\\^{}]*"
_FORMULA = r"^[-=+@\x{ff0b}\x{ff0d}\x{ff1d}\x{ff20}]"
_MOST_CHARACTERS = 1_000
_SHARD = "CASE WHEN set_name IS NULL THEN '' ELSE format('shards/{}/{:05d}.tar', set_name, part) END"


def require_writable(store: Store, path: Path, endings: tuple[str, ...]) -> None:
    """ConfigError for a list that could not be written, or would lie in the archive."""
    if path.suffix not in endings:
        raise ConfigError(f"{path} ends in neither of {', '.join(endings)}; remedy: name the file so")
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent} is no folder; remedy: make it, or name another")
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; remedy: name a file")
    if store.is_local and path.parent.resolve().is_relative_to(Path(store.path("")).resolve()):
        raise ConfigError(
            f"{path} lies in the archive, which seals its own files; remedy: name a file outside {store.root}"
        )


def write_attribution(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Whom to name for each allowed sample of ``judged``: CSV, or a table of Markdown by the file's ending."""
    _write_list(connection, _attribution_query(path.suffix == ".md"), path)


def write_samples(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Every sample of ``judged``, whether it is allowed, and why not: CSV."""
    _write_list(connection, _SAMPLES, path)


def _cleaned(column: str) -> str:
    """SQL: a stranger's text in one line, without what is not seen."""
    cleaned = f"trim(regexp_replace(coalesce({column}, ''), '{_UNSEEN}', ' ', 'g'))"
    return (
        f"left(CASE WHEN regexp_full_match({column}, '{_PLAIN}') THEN {column} ELSE {cleaned} END, {_MOST_CHARACTERS})"
    )


def _linked(column: str) -> str:
    """SQL: an address that is one, else nothing."""
    quoted = _LINK.replace("'", "''")
    return f"CASE WHEN regexp_full_match({column}, '{quoted}') AND length({column}) <= 2000 THEN {column} ELSE '' END"


def _cell(text: str) -> str:
    """SQL: the text as a cell that no spreadsheet takes for a formula."""
    return f"CASE WHEN regexp_matches({text}, '{_FORMULA}') THEN chr(39) || {text} ELSE {text} END"


def _marked(text: str) -> str:
    """SQL: the text without a meaning in Markdown or HTML."""
    escaped = f"regexp_replace({text}, '([\\\\`*_{{}}\\[\\]()#+!|~$:@.-])', '\\\\\\1', 'g')"
    return f"replace(replace({escaped}, '&', '&amp;'), '<', '&lt;')"


def _attribution_query(markdown: bool) -> str:
    """The allowed samples, in the shards' order."""
    rows = f"""
        FROM (SELECT key, set_name, part, name, coalesce(url, '') AS url, {_cleaned("title")} AS title,
                     {_cleaned("creator")} AS creator, {_linked("landing_url")} AS page
              FROM judged WHERE why_not IS NULL) ORDER BY set_name, part, key
    """
    if not markdown:
        return (
            f"SELECT key, {_SHARD} AS shard, {_cell('title')} AS title, {_cell('creator')} AS creator, "
            f"page AS landing_page, name AS licence, url AS licence_url {rows}"
        )
    link = "CASE WHEN page = '' THEN '' ELSE '<' || page || '>' END"
    licence = "CASE WHEN url = '' THEN name ELSE '[' || name || '](' || url || ')' END"
    cells = ("'`' || key || '`'", _marked("title"), _marked("creator"), link, licence)
    line = " || ' | ' || ".join(cells)
    return f"SELECT '| ' || {line} || ' |' AS line {rows}"


_SAMPLES = f"""
SELECT key, {_SHARD} AS shard, name AS licence, why_not IS NULL AS allowed, coalesce(why_not, '') AS why_not
FROM judged ORDER BY set_name, part, key
"""
_MARKDOWN_HEAD = "| key | title | creator | page | licence |\n|---|---|---|---|---|\n"


def _write_list(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """Writes the query's rows as CSV, or its lines under a Markdown head; aside first, so that no half list is left."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file:
            reader = connection.sql(query).to_arrow_reader(_ROWS_AT_ONCE)
            if path.suffix == ".md":
                file.write(_MARKDOWN_HEAD.encode())
                for batch in reader:
                    file.write("".join(f"{line}\n" for line in batch["line"].to_pylist()).encode())
            else:
                with pyarrow.csv.CSVWriter(file, reader.schema) as writer:
                    for batch in reader:
                        writer.write_batch(batch)
        aside.replace(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error}; remedy: free space, or name another file") from None
    finally:
        aside.unlink(missing_ok=True)
