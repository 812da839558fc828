"""Which samples a person is shown: the same ones every time, spread over emotions, contexts and reasons.

Only pictures that the safety check found safe and the captioner did not doubt, that the site does not mark as mature,
that nobody asked to take down, and whose source and licence allow them to be handed on.
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from moodarchive.emotions.taxonomy import CONTEXTS, EMOTIONS
from pipelines.inspect.report.links import safe_link
from pipelines.inspect.report.names import licence_name
from pipelines.inspect.report.tables import Tables
from pipelines.inspect.report.thumbnails import LONGEST_SIDE, Thumbnail, thumbnails
from shards.pack import ShardSettings

KEPT_SHOWN = 28  # every emotion, and an even number
CUT_SHOWN = 12  # of each reason
CUT_SIDE = 176  # pixels: tiles, not cards
UNSHOWN = ("unsafe", "taken_down")

SHOWABLE = """
CREATE TEMP TABLE picked AS
WITH showable AS (
    SELECT j.* FROM journey j JOIN safety s USING (key) JOIN items d USING (key) LEFT JOIN captions c USING (key)
    WHERE s.verdict = 'safe' AND NOT coalesce(c.nudity OR c.gore, false) AND NOT coalesce(d.mature, false)
      AND j.kind <> 'taken_down'
      AND NOT EXISTS (FROM withheld w WHERE w.source IS NOT DISTINCT FROM d.source
          AND w.licence IS NOT DISTINCT FROM d.licence AND w.licence_url IS NOT DISTINCT FROM d.licence_url)
      AND j.set_name IS DISTINCT FROM 'private'),
"""
# One image of each emotion before a second of any; the context moves on from emotion to emotion.
_KEPT = """
placed AS (
    SELECT key, stage, emotion, context, coalesce(list_position(?, emotion), 99) AS e,
           coalesce(list_position(?, context), 9) AS c,
           row_number() OVER (PARTITION BY emotion, context ORDER BY key) AS n
    FROM showable WHERE stage IN ('pack', 'packed')),
taken AS (
    SELECT *, row_number() OVER (PARTITION BY emotion ORDER BY n, (c + e) % 4, c, key) AS turn
    FROM placed QUALIFY turn <= ?)
SELECT key, true AS kept, row_number() OVER (ORDER BY turn, e, emotion, key) AS place FROM taken
QUALIFY place <= ? ORDER BY place
"""
# The first of each reason; of low scores the highest, where one may differ.
_CUT = """
taken AS (
    SELECT key, kind, row_number() OVER (PARTITION BY kind ORDER BY score DESC NULLS LAST, key) AS turn
    FROM showable WHERE stage IN ('caption', 'score', 'cut') AND kind <> 'waiting' QUALIFY turn <= ?)
SELECT key, false AS kept, row_number() OVER (ORDER BY kind, turn) AS place FROM taken ORDER BY place
"""
_REASONS = """
SELECT kind, count(*) AS n FROM journey
WHERE (stage IN ('caption', 'score', 'cut') AND kind <> 'waiting') OR list_contains(?, kind)
GROUP BY kind ORDER BY n DESC, kind
"""
_DETAILS = """
SELECT key, d.title, d.landing_url, d.creator, d.creator_url, d.licence, d.licence_url, d.source,
       j.emotion, j.context, j.kind, j.set_name, j.score,
       coalesce(list_filter(d.queries, lambda q: q.emotion = j.emotion)[1].phrase, (
           SELECT min_by(r.query.phrase, (r.round, r.query.rank))
           FROM (SELECT key, round, unnest(queries) AS query FROM rediscovered) r
           WHERE r.key = p.key AND r.query.emotion = j.emotion)) AS phrase,
       c.summary, c.stimuli, c.assessment, c.emotions
FROM picked p JOIN items d USING (key) JOIN journey j USING (key) LEFT JOIN captions c USING (key)
ORDER BY p.place
"""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image with everything that a person needs to judge it."""

    key: str
    title: str
    landing_link: str | None
    creator: str
    creator_link: str | None
    licence: str
    licence_link: str | None
    source: str
    emotion: str
    context: str
    phrase: str
    kind: str
    set_name: str | None
    score: float | None
    summary: str
    stimuli: tuple[str, ...]
    assessment: str
    seen: tuple[str, ...]
    thumbnail: Thumbnail | None


@dataclass(frozen=True, kw_only=True)
class CutGroup:
    """One reason, how many images fell for it, and some of them."""

    kind: str
    total: int
    samples: tuple[Sample, ...]

    @property
    def unshown(self) -> bool:
        """True for a reason whose pictures nobody is shown."""
        return self.kind in UNSHOWN


def withhold_private(tables: Tables, shards: ShardSettings) -> None:
    """Notes in ``withheld`` which sources and licences keep their images in the private shards."""
    answer = tables.sql.sql("SELECT DISTINCT source, licence, licence_url FROM items").to_arrow_table()
    private = [shards.keeps_private(*row.values()) for row in answer.to_pylist()]
    tables.sql.register("private_terms", answer.filter(pa.array(private, pa.bool_())))
    tables.sql.execute("CREATE OR REPLACE TEMP TABLE withheld AS FROM private_terms")
    tables.sql.unregister("private_terms")


def kept_samples(tables: Tables) -> tuple[Sample, ...]:
    """Samples that are kept; ``withhold_private`` comes first."""
    values = (list(EMOTIONS), list(CONTEXTS), KEPT_SHOWN, KEPT_SHOWN)
    return _samples(tables, SHOWABLE + _KEPT, values)


def cut_groups(tables: Tables) -> tuple[CutGroup, ...]:
    """What was dropped though it had been downloaded, by reason; most first. ``withhold_private`` comes first."""
    samples = _samples(tables, SHOWABLE + _CUT, (CUT_SHOWN,), CUT_SIDE)
    return tuple(
        CutGroup(kind=kind, total=total, samples=tuple(sample for sample in samples if sample.kind == kind))
        for kind, total in tables.rows(_REASONS, list(UNSHOWN))
    )


def _samples(tables: Tables, query: str, values: tuple[object, ...], side: int = LONGEST_SIDE) -> tuple[Sample, ...]:
    tables.sql.execute("DROP TABLE IF EXISTS picked")
    tables.sql.execute(query, list(values))
    answer = tables.sql.sql(_DETAILS).to_arrow_table()
    pictures = thumbnails(tables, side)
    return tuple(_sample(row, pictures.get(row["key"])) for row in answer.to_pylist())


def _sample(row: dict[str, Any], thumbnail: Thumbnail | None) -> Sample:
    return Sample(
        key=row["key"],
        title=(row["title"] or "").strip() or "Untitled",
        landing_link=safe_link(row["landing_url"]),
        creator=row["creator"] or "not named",
        creator_link=safe_link(row["creator_url"]),
        licence=licence_name(row["licence"]),
        licence_link=safe_link(row["licence_url"]),
        source=row["source"] or "",
        emotion=row["emotion"] or "",
        context=row["context"] or "",
        phrase=row["phrase"] or "",
        kind=row["kind"],
        set_name=row["set_name"],
        score=row["score"],
        summary=row["summary"] or "",
        stimuli=tuple(row["stimuli"] or ()),
        assessment=row["assessment"] or "",
        seen=tuple(row["emotions"] or ()),
        thumbnail=thumbnail,
    )
