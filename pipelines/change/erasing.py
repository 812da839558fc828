"""Images are taken down: in the order of the flow, each owner of a table forgets what it wrote of them."""

from collections.abc import Callable

import annotate.caption
import crawl.download
import crawl.rounds.merge
import crawl.rounds.search
import filter.safety
import filter.score
import pipelines.browse.cache
import pipelines.browse.marks
import pipelines.inspect.report.write
import pipelines.study.verified_set
import shards.pack
import validate.study.verdicts.forgetting
from moodarchive.storage.store import Store
from moodarchive.tables.forgetting import carry_inputs
from moodarchive.tables.schemas import CANDIDATES, CAPTIONS, IMAGES, ITEMS, REDISCOVERED, SAFETY, SCORES, VECTORS, Table

Forget = Callable[[Store, frozenset[str]], dict[str, str]]
_ERASED: tuple[tuple[Table, Forget | None], ...] = (
    (CANDIDATES, crawl.rounds.search.forget),
    (ITEMS, crawl.rounds.merge.forget),
    (REDISCOVERED, None),
    (IMAGES, crawl.download.forget),
    (SAFETY, None),
    (CAPTIONS, annotate.caption.forget),
    (SCORES, None),
    (VECTORS, filter.score.forget_vectors),
)
"""The tables that lose words and pictures, or whose inputs do; what follows is found out of date and made anew."""


def erase(store: Store, keys: frozenset[str]) -> None:
    """Erases the keys everywhere before the cut, and in what stands beside the tables; every row keeps its key.

    Repeated after a kill, it ends with the same bytes.
    """
    digests: dict[str, str] = {}
    for table, forget in _ERASED:
        carry_inputs(store, table, digests)
        if forget is not None:
            digests |= forget(store, keys)
    filter.safety.forget(store, keys)
    filter.score.forget(store, keys)
    shards.pack.forget(store, keys)
    pipelines.inspect.report.write.forget(store)
    pipelines.browse.marks.forget(store, keys)
    pipelines.browse.cache.forget_root(store)
    validate.study.verdicts.forgetting.forget(store, keys)
    pipelines.study.verified_set.forget(store, keys)
