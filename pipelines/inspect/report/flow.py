"""Where every image ended: the counts from step to step, which add up because each image ends exactly once."""

from collections.abc import Sequence
from dataclasses import dataclass

from moodarchive.emotions.taxonomy import EMOTIONS
from moodarchive.tables.layout import SETS
from moodarchive.tables.schemas import CANDIDATES
from pipelines.inspect.report.tables import Tables

WAITING = "waiting"

# One row an image. The first condition that holds is where it ended; a row that is not there yet waits at that step.
# Images may have been pruned, so their absence counts only while the next table is absent too.
_MACROS = """
CREATE TEMP MACRO stage_of(reason, otherwise) AS CASE
    WHEN reason = 'failed_download' THEN 'download' WHEN reason IN ('unsafe', 'failed_safety') THEN 'safety'
    WHEN reason = 'failed_caption' THEN 'caption' WHEN reason = 'failed_score' THEN 'score' ELSE otherwise END;
CREATE TEMP MACRO ending(stage, kind) AS {'stage': stage, 'kind': coalesce(kind, 'unknown')};
"""
_JOURNEY = """
CREATE TEMP TABLE journey AS
WITH ended AS (
    SELECT d.key, p.set_name, 'doubtful' IN (s.verdict, k.verdict) AS doubtful,
           CASE WHEN k.emotion <> sc.emotion THEN sc.emotion_scores[list_position($emotions, k.emotion)]
                ELSE sc.score END AS score, coalesce(k.kept, false) AS kept,
           coalesce(k.emotion, sc.emotion, d.queries[1].emotion) AS emotion,
           coalesce(k.context, sc.context, d.queries[1].context) AS context,
           CASE
               WHEN i.status = 'taken_down' AND s.status = 'ok' THEN ending('cut', i.status)
               WHEN i.status = 'taken_down' THEN ending('download', i.status)
               WHEN i.status = 'failed' THEN ending('download', i.error)
               WHEN i.status = 'skipped' THEN ending('download', coalesce(k.reason, 'skipped'))
               WHEN s.verdict = 'unsafe' THEN ending('safety', 'unsafe')
               WHEN s.status = 'failed' THEN ending('safety', s.error)
               WHEN s.status = 'skipped' THEN ending(stage_of(k.reason, 'safety'), coalesce(k.reason, 'skipped'))
               WHEN c.status = 'failed' THEN ending('caption', c.error)
               WHEN c.status = 'skipped' THEN ending(stage_of(k.reason, 'caption'), coalesce(k.reason, 'skipped'))
               WHEN sc.status = 'failed' THEN ending('score', sc.error)
               WHEN sc.status = 'skipped' THEN ending(stage_of(k.reason, 'score'), coalesce(k.reason, 'skipped'))
               WHEN NOT k.kept THEN ending(stage_of(k.reason, 'cut'), k.reason)
               WHEN p.key IS NOT NULL THEN ending('packed', 'packed')
               WHEN k.kept THEN ending('pack', 'waiting')
               WHEN i.key IS NULL AND s.key IS NULL THEN ending('download', 'waiting')
               WHEN s.key IS NULL THEN ending('safety', 'waiting')
               WHEN c.key IS NULL THEN ending('caption', 'waiting')
               WHEN sc.key IS NULL THEN ending('score', 'waiting')
               ELSE ending('cut', 'waiting')
           END AS last
    FROM items d LEFT JOIN images i USING (key) LEFT JOIN safety s USING (key) LEFT JOIN captions c USING (key)
         LEFT JOIN scores sc USING (key) LEFT JOIN selection k USING (key) LEFT JOIN packed p USING (key))
SELECT * EXCLUDE (last), last.stage AS stage, last.kind AS kind FROM ended
"""
_STEPS = (
    ("download", "Downloaded", "fetched, decoded and brought to size"),
    ("safety", "Safe", "past the safety check"),
    ("caption", "Captioned", "described in five sentences"),
    ("score", "Scored", "compared with the searched emotion"),
    ("cut", "Kept", "distinct and fitting"),
    ("pack", "In shards", "packed as samples"),
)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Images that ended at a step, for one reason."""

    kind: str
    count: int

    @property
    def waiting(self) -> bool:
        """True when the images are not lost but have not come this far yet."""
        return self.kind == WAITING


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the flow: what passed and what did not."""

    stage: str
    label: str
    says: str
    passed: int
    losses: tuple[Loss, ...]

    @property
    def entered(self) -> int:
        """What the step before let through."""
        return self.passed + sum(loss.count for loss in self.losses)

    @property
    def dropped(self) -> int:
        """What ended here for good."""
        return sum(loss.count for loss in self.losses if not loss.waiting)


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The steps in order, and the samples of each shard set."""

    steps: tuple[Step, ...]
    sets: tuple[tuple[str, int], ...]
    found: int
    kept: int
    packed: int
    doubtful: int
    """Of the packed."""

    @property
    def widest(self) -> int:
        """The largest count, to which the bars are drawn."""
        return max((step.entered for step in self.steps), default=0)

    @property
    def dropped(self) -> int:
        """Images that ended for good, whatever the step."""
        return sum(step.dropped for step in self.steps if step.stage not in ("search", "merge"))


def trace(tables: Tables, *, sealed: bool) -> Flow:
    """Makes the temporary table ``journey`` and counts it."""
    tables.sql.execute(_MACROS)
    tables.sql.execute(_JOURNEY, {"emotions": list(EMOTIONS)})
    found, kept, packed, doubtful = tables.numbers(
        "SELECT count(*), count(*) FILTER (stage IN ('pack', 'packed')), count(*) FILTER (stage = 'packed'), "
        "count(*) FILTER (stage = 'packed' AND doubtful) FROM journey"
    )
    ends: dict[str, list[Loss]] = {}
    for stage, kind, count in tables.rows(
        "SELECT stage, kind, count(*) AS n FROM journey WHERE stage <> 'packed' GROUP BY stage, kind "
        "ORDER BY kind = 'waiting', n DESC, kind"
    ):
        ends.setdefault(stage, []).append(Loss(kind=kind, count=count))
    steps = _searched(tables, found, sealed=sealed)
    left = found
    for stage, label, says in _STEPS:
        losses = tuple(ends.get(stage, ()))
        left -= sum(loss.count for loss in losses)
        steps.append(Step(stage=stage, label=label, says=says, passed=left, losses=losses))
    return Flow(steps=tuple(steps), sets=_sets(tables), found=found, kept=kept, packed=packed, doubtful=doubtful)


def _searched(tables: Tables, found: int, *, sealed: bool) -> list[Step]:
    """The steps before there are images: search hits, then one row an image."""
    (hits,) = tables.numbers("SELECT count(*) FROM candidates")
    says = "one row an image, its queries merged"
    if hits < found or not tables.has(CANDIDATES):
        return [Step(stage="merge", label="Images", says=says, passed=found, losses=())]
    waiting = 0
    if not sealed:
        # an open round is merged when it closes
        (waiting,) = tables.numbers(
            "SELECT count(*) FROM candidates WHERE round > (SELECT coalesce(max(round), -1) FROM items)"
        )
    waiting = min(waiting, hits - found)
    losses = (Loss(kind="merged", count=hits - found - waiting), Loss(kind=WAITING, count=waiting))
    return [
        Step(stage="search", label="Search hits", says="rows that the sites answered", passed=hits, losses=()),
        Step(stage="merge", label="Images", says=says, passed=found, losses=_present(losses)),
    ]


def _present(losses: Sequence[Loss]) -> tuple[Loss, ...]:
    return tuple(loss for loss in losses if loss.count)


def _sets(tables: Tables) -> tuple[tuple[str, int], ...]:
    counts = dict(tables.rows("SELECT set_name, count(*) FROM journey WHERE stage = 'packed' GROUP BY 1"))
    return tuple((name, counts[name]) for name in SETS if name in counts)
