"""The table in which people's verdicts come back into the archive; written after the seal, and not covered by it."""

import pyarrow as pa

from moodarchive.tables.schemas import Table


def _schema(*columns: tuple[str, pa.DataType, str]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, metadata={"doc": doc}) for name, kind, doc in columns])


VERDICTS = Table(
    name="verdicts",
    written_by="validate.study",
    says="What people say of captions: one row an image that a study has judged; no worker is named.",
    schema=_schema(
        ("key", pa.string(), "16 hex digits, as in every table"),
        ("accepted", pa.bool_(), "true: preferred to the web's alt-text, and all five sentences accurate"),
        ("probability", pa.float64(), "that it is accepted, by Dawid and Skene's model"),
        ("by_majority", pa.bool_(), "the same question by the majority of each question's votes"),
        ("answers", pa.int32(), "people who answered"),
        ("wanted", pa.int32(), "people who were to answer; with fewer than half of them `accepted` is null"),
        ("generated", pa.int32(), "votes for the generated caption"),
        ("original", pa.int32(), "votes for the alt-text"),
        ("neither", pa.int32(), "votes for neither"),
        ("wrong", pa.list_(pa.string()), "components that are not accurate"),
        ("reasons", pa.list_(pa.string()), "reasons that were given, the most frequent first"),
        ("caption_hash", pa.string(), "names the caption that was judged; a verdict holds for no other"),
        ("simulated", pa.bool_(), "true: a program answered, as a rehearsal"),
    ),
)
