"""How the images are spread over emotions, contexts, licences, sources and creators."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from moodarchive.archive.licences import count_by_licence, find_licence
from moodarchive.emotions.taxonomy import CONTEXTS, EMOTIONS, SENTIMENT
from moodarchive.tables.schemas import SELECTION
from pipelines.inspect.report.links import safe_link
from pipelines.inspect.report.names import licence_name
from pipelines.inspect.report.tables import Tables

TOP_CREATORS = 10
Basis = Literal["kept", "found"]
CONDITION: dict[Basis, str] = {"kept": "stage IN ('pack', 'packed')", "found": "true"}


@dataclass(frozen=True, kw_only=True)
class EmotionRow:
    """One emotion: its images by context, and how often the caption's own emotions name it."""

    emotion: str
    sentiment: str
    counts: tuple[int, ...]
    captioned: int
    agreeing: int

    @property
    def total(self) -> int:
        """Images of the emotion."""
        return sum(self.counts)


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """Emotions by contexts."""

    contexts: tuple[str, ...]
    rows: tuple[EmotionRow, ...]

    @property
    def hottest(self) -> int:
        """The largest cell."""
        return max((count for row in self.rows for count in row.counts), default=0)

    @property
    def by_context(self) -> tuple[int, ...]:
        """Totals below the columns."""
        return tuple(sum(row.counts[column] for row in self.rows) for column in range(len(self.contexts)))

    @property
    def total(self) -> int:
        """All images."""
        return sum(row.total for row in self.rows)

    @property
    def captioned(self) -> int:
        """Images whose caption names emotions."""
        return sum(row.captioned for row in self.rows)

    @property
    def agreeing(self) -> int:
        """Images whose caption names the searched emotion."""
        return sum(row.agreeing for row in self.rows)


@dataclass(frozen=True, kw_only=True)
class Share:
    """A licence, source or creator and its images."""

    name: str
    link: str | None
    count: int
    share_alike: bool = False


@dataclass(frozen=True, kw_only=True)
class Origins:
    """Where the images come from and on what terms."""

    licences: tuple[Share, ...]
    sources: tuple[Share, ...]
    creators: tuple[Share, ...]
    creators_in_all: int
    unnamed: int

    @property
    def share_alike(self) -> int:
        """Images under share-alike licences."""
        return sum(share.count for share in self.licences if share.share_alike)


def basis_of(tables: Tables) -> Basis:
    """What is counted: the kept images, or everything found while nothing has been judged."""
    return "kept" if tables.has(SELECTION) else "found"


def heat_map(tables: Tables, basis: Basis) -> HeatMap:
    """Only emotions that were met; names outside the taxonomy come last, so that the totals stay whole."""
    cells: Counter[tuple[str, str]] = Counter()
    for emotion, context, count in tables.rows(
        f"SELECT coalesce(emotion, 'none'), coalesce(context, 'none'), count(*) FILTER ({CONDITION[basis]}) "
        "FROM journey GROUP BY 1, 2"
    ):
        cells[emotion, context] = count
    agreement = {
        emotion: (captioned, agreeing)
        for emotion, captioned, agreeing in tables.rows(
            "SELECT coalesce(emotion, 'none'), count(*), count(*) FILTER (list_contains(c.emotions, emotion)) "
            "FROM journey JOIN captions c USING (key) "
            f"WHERE len(c.emotions) > 0 AND c.status = 'ok' AND {CONDITION[basis]} GROUP BY 1"
        )
    }
    emotions = _known_first(EMOTIONS, {emotion for emotion, _ in cells}, all_known=False)
    contexts = _known_first(CONTEXTS, {context for (_, context), count in cells.items() if count}, all_known=True)
    rows = []
    for emotion in emotions:
        captioned, agreeing = agreement.get(emotion, (0, 0))
        rows.append(
            EmotionRow(
                emotion=emotion,
                sentiment=SENTIMENT.get(emotion, "other"),
                counts=tuple(cells[emotion, context] for context in contexts),
                captioned=captioned,
                agreeing=agreeing,
            )
        )
    return HeatMap(contexts=contexts, rows=tuple(rows))


def _known_first(known: tuple[str, ...], met: set[str], *, all_known: bool) -> tuple[str, ...]:
    return (*(name for name in known if all_known or name in met), *sorted(met - set(known)))


def origins(tables: Tables, basis: Basis) -> Origins:
    """Counts by licence, source and creator."""
    from_where = f"FROM journey JOIN items d USING (key) WHERE {CONDITION[basis]}"
    licences = count_by_licence(tables.rows(f"SELECT licence, licence_url, count(*) {from_where} GROUP BY 1, 2"))
    sources = tables.rows(f"SELECT source, count(*) AS n {from_where} GROUP BY 1 ORDER BY n DESC, source")
    creators = tables.rows(
        f"SELECT creator, min(creator_url), count(*) AS n {from_where} AND creator <> '' "
        f"GROUP BY 1 ORDER BY n DESC, creator LIMIT {TOP_CREATORS}"
    )
    creators_in_all, unnamed = tables.numbers(
        f"SELECT count(DISTINCT nullif(creator, '')), count(*) FILTER (coalesce(creator, '') = '') {from_where}"
    )
    return Origins(
        licences=tuple(
            _licence_share(name, count) for name, count in sorted(licences.items(), key=lambda entry: -entry[1])
        ),
        sources=tuple(Share(name=name or "not stated", link=None, count=count) for name, count in sources),
        creators=tuple(Share(name=name, link=safe_link(link), count=count) for name, link, count in creators),
        creators_in_all=creators_in_all,
        unnamed=unnamed,
    )


def _licence_share(name: str, count: int) -> Share:
    licence = find_licence(name, None)
    return Share(name=licence_name(name), link=licence.url, count=count, share_alike=licence.share_alike)
