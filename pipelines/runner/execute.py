"""Runs stages over part numbers on Ray Data: stages overlap, crashed workers are replaced, bad parts stop no others."""

import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from moodarchive.archive.writer_lock import Heartbeat, has_ended, heartbeat_now
from moodarchive.errors import MoodArchiveError, PartsFailedError, StageError
from moodarchive.running.own_packages import foreign_package
from moodarchive.running.part_log import LOGGER, log_path, part_log
from moodarchive.running.stage import Readers, Stage, is_current, marked_parts, run_part
from moodarchive.storage.store import Store
from moodarchive.tables.parts import Sidecar, finished_parts
from pipelines.runner.cluster import Cluster
from pipelines.runner.preflight import NodeRequirements, here

TASK_RETRIES = 2


@dataclass(frozen=True)
class Failure:
    """A part that a stage could not bring up to date, and why."""

    stage: str
    part: int
    why: str


def pending_parts(stages: Sequence[Stage], store: Store, parts: Sequence[int]) -> list[int]:
    """The parts for which any stage has work left, found by listing the store; Ray is not needed."""
    tables = {table.name: table for stage in stages for table in (*stage.reads, stage.writes)}
    done = {name: finished_parts(store, table) for name, table in tables.items()}
    marked = {stage.name: marked_parts(store, stage.writes) if stage.keeps_rows else set() for stage in stages}
    return [
        part for part in parts if any(part in marked[stage.name] or not _is_done(stage, done, part) for stage in stages)
    ]


def _is_done(stage: Stage, done: dict[str, dict[int, Sidecar]], part: int) -> bool:
    inputs = {}
    for table in stage.reads:
        sidecar = done[table.name].get(part)
        if sidecar is None:
            return False
        inputs[f"{table.name}/{part:05d}"] = sidecar.sha256
    return is_current(stage, done[stage.writes.name].get(part), inputs)


class _PartRunner:
    """One actor of one stage: builds the worker once, then turns part numbers into finished parts."""

    def __init__(
        self, stage: Stage, store: Store, driver: Heartbeat, requirements: NodeRequirements | None = None
    ) -> None:
        self._stage, self._store, self._driver = stage, store, driver
        self._broken = ""
        # a node that joined after the check at the start, or a worker that found other modules than the run
        if missing := requirements.missing() if requirements else foreign_package():
            self._broken = f"{here()}: {missing}"
            return
        try:
            self._worker = stage.make_worker()
        except Exception as error:  # noqa: BLE001  raised here it would reach a person as Ray's traceback
            self._broken = _describe(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        if row["failed_stage"]:
            return row
        part = int(row["part"])
        if self._broken:
            return {**row, "failed_stage": self._stage.name, "why": self._broken, "hopeless": True}
        try:
            with part_log(self._store, self._stage.name, part):
                run_part(self._stage, self._store, self._while_driver_lives, part)
        except Exception as error:  # noqa: BLE001  Ray would abort the whole run; the driver judges
            return {**row, "failed_stage": self._stage.name, "why": _describe(error)}
        return row

    def _while_driver_lives(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        """A worker outlives a killed driver for a moment, in which the servers that the run had started are gone.

        What it finds then is no answer of theirs: nothing of it may be recorded.
        """
        yield from self._worker(part, readers)
        if has_ended(self._driver):
            raise StageError("the run that asked for this part has ended")


def _describe(error: Exception) -> str:
    return str(error) if isinstance(error, MoodArchiveError) else f"{type(error).__name__}: {error}"


def run_stages(stages: Sequence[Stage], store: Store, parts: Sequence[int], cluster: Cluster) -> None:
    """Brings every part up to date in every stage. PartsFailedError names the parts that are not, and their logs."""
    waiting = pending_parts(stages, store, parts)
    if not waiting:
        return
    cluster.start(stages)
    with closing(_flow(stages, store, waiting, cluster)) as flow:  # Ray's executor must end before Ray does
        failures = _collect_failures(flow, cluster.give_up_after)
    known = {failure.part for failure in failures}
    silent = [part for part in pending_parts(stages, store, waiting) if part not in known]
    failures += [Failure(stages[-1].name, part, "its worker died; no error was left") for part in silent]
    if failures:
        raise PartsFailedError(_explain(store, failures))


def _flow(
    stages: Sequence[Stage], store: Store, parts: Sequence[int], cluster: Cluster
) -> Generator[dict[str, Any], None, None]:
    import ray

    rows = [{"part": part, "failed_stage": "", "why": "", "hopeless": False} for part in parts]
    flow: ray.data.Dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
    for stage in stages:
        flow = _map_stage(
            flow, stage, store, cluster.requirements, min_workers=1 if cluster.address else stage.resources.min_workers
        )
    yield from flow.iter_rows()


def _map_stage(flow: Any, stage: Stage, store: Store, requirements: NodeRequirements | None, min_workers: int) -> Any:
    """The flow through one stage. On a cluster its pool grows with the work; here a model is loaded once and kept."""
    from ray.data import ActorPoolStrategy

    # a class of its own name tells the stages apart in Ray's logs and dashboard
    runner = type(stage.name.capitalize(), (_PartRunner,), {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray names no successor of max_task_retries, and its own default is endless
        return flow.map(
            runner,
            fn_constructor_args=(stage, store, heartbeat_now(), requirements),
            compute=ActorPoolStrategy(
                min_size=min_workers,
                max_size=stage.resources.max_workers,
                enable_true_multi_threading=stage.resources.parts_at_once > 1,
            ),
            max_concurrency=stage.resources.parts_at_once,
            num_cpus=stage.resources.cpus,
            num_gpus=stage.resources.gpus,
            max_task_retries=TASK_RETRIES,
        )


def _collect_failures(flow: Iterator[dict[str, Any]], give_up_after: int) -> list[Failure]:
    failures: list[Failure] = []
    in_a_row = 0
    for row in flow:
        if not row["failed_stage"]:
            in_a_row = 0
            continue
        if row["hopeless"]:
            raise StageError(f"{row['failed_stage']} cannot start: {row['why']}")
        failures.append(Failure(row["failed_stage"], int(row["part"]), row["why"]))
        in_a_row += 1
        if in_a_row >= give_up_after or "no space left" in row["why"]:
            LOGGER.warning("stopping after %d failed parts in a row", in_a_row)
            break
    return failures


def _explain(store: Store, failures: Sequence[Failure]) -> str:
    lines = [f"{len(failures)} part(s) are not done; remedy: mend the cause and run again, finished parts stay"]
    for failure in failures[:10]:
        log = log_path(failure.stage, failure.part)
        lines.append(f"  {failure.stage} part {failure.part:05d}: {failure.why} (log: {store.root}/{log})")
    if len(failures) > 10:
        lines.append(f"  and {len(failures) - 10} more")
    return "\n".join(lines)
