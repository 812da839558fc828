"""Spreads work over a Ray cluster, results in order; and decides when that is worth starting one."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from moodarchive.running.parallel_map import AHEAD, Spread, in_threads, map_windowed
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import ITEMS
from pipelines.runner.cluster import Cluster
from pipelines.runner.execute import TASK_RETRIES

T = TypeVar("T")
R = TypeVar("R")

PARTS_WORTH_RAY = 8
"""Below so many parts a Ray of our own takes longer to start than it saves."""


def spread_for(store: Store, cluster: Cluster, *, fast: bool) -> Spread:
    """Over the cluster, where one is named or the pictures of many parts are to be decoded; else in threads.

    Digests alone keep all cores busy from one process.
    """
    many = not fast and sum(name.endswith(".json") for name in store.names(ITEMS.name)) >= PARTS_WORTH_RAY
    return over_ray(cluster) if cluster.address or many else in_threads


def over_ray(cluster: Cluster) -> Spread:
    """Each thing becomes a Ray task of one CPU; a crashed worker's task is run again."""

    def spread(work: Callable[[T], R], things: Sequence[T]) -> Iterator[R]:
        cluster.start([])
        import ray

        task: Any = ray.remote(num_cpus=1, max_retries=TASK_RETRIES)(_work_on)
        held = ray.put(work)
        window = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
        yield from map_windowed(lambda thing: task.remote(held, thing), things, window, _result)

    return spread


def _work_on(work: Callable[[T], R], thing: T) -> R:
    return work(thing)


def _result(reference: Any) -> Any:
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None  # as it would be raised in this process, without Ray's traceback
