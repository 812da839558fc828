"""Which Ray a run uses: one of its own on this machine, or a cluster whose nodes all see what the run needs."""

import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import Self

from moodarchive.archive.writer_lock import RUN_VARIABLE
from moodarchive.errors import ConfigError, StageError
from moodarchive.running.neutral_folder import RAY_SYSTEM, neutral_folder, start_ray_in, worker_environment
from moodarchive.running.ray_address import address_of
from moodarchive.running.stage import Stage
from moodarchive.storage.store import Store
from pipelines.runner.preflight import NodeRequirements, check_nodes, end_preflight, local_paths, start_preflight
from pipelines.runner.sources import make_rate_limits
from pipelines.settings import ArchiveSettings

REACHED_S = 10.0
LONGEST_TMPDIR = 36
"""Bytes: a socket's path may have 107, and Ray adds ray/session_DATE_TIME_PID/sockets/plasma_store."""


@dataclass(kw_only=True)
class Cluster:
    """Which Ray to use: an address, or a Ray of this run's own with so many logical CPUs (0: the machine's).

    A context manager: Ray starts when the first part is to be run, and ends with the block. ``look`` tells what every
    node of a cluster must see; ``begin`` is called once Ray runs.
    """

    address: str = ""
    cpus: int = 0
    give_up_after: int = 10
    look: Callable[[], NodeRequirements] | None = None
    begin: Callable[[], None] | None = None
    requirements: NodeRequirements | None = None
    _started: bool = False
    _folder: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        if self._started:
            import ray

            ray.shutdown()
        self._folder.close()
        if self.requirements:
            end_preflight(self.requirements)

    def start(self, stages: Sequence[Stage]) -> None:
        """Starts Ray unless it runs; ConfigError when the stages' smallest pools do not fit a Ray of our own."""
        cpus = self.cpus or os.cpu_count() or 1
        if not self.address:
            _check_fit(stages, cpus)
        import ray

        if ray.is_initialized():
            return
        _silence_native_lines()
        users_folder = Path.cwd()
        with _explain_refusals(self.address):
            folder = self._folder.enter_context(neutral_folder())
            start_ray_in(folder, lambda: _init(self.address, cpus, users_folder))
        self._started = True
        _quieten_ray_data()
        if self.address and self.look:
            self.requirements = self.look()
            check_nodes(self.requirements)
        if self.begin:
            self.begin()


def _init(address: str, cpus: int, users_folder: Path) -> None:
    import ray

    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        # Ray itself tries for minutes, without a word
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACHED_S).close()

    environment = {"env_vars": {}} if address else worker_environment(users_folder)
    if RUN_VARIABLE in os.environ:
        environment["env_vars"][RUN_VARIABLE] = os.environ[RUN_VARIABLE]
    ray.init(
        address=address or "local",
        num_cpus=None if address else cpus,
        include_dashboard=None if address else False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env=environment,
        _temp_dir=None if address else choose_temporary_folder(),
        _system_config=None if address else RAY_SYSTEM,
    )


def choose_temporary_folder() -> str | None:
    """Where Ray's own files go: None leaves it to Ray; /tmp when TMPDIR's path is too long for Ray's sockets.

    ConfigError when /tmp cannot be written either.
    """
    folder = os.environ.get("RAY_TMPDIR") or gettempdir()
    if len(os.fsencode(folder)) <= LONGEST_TMPDIR:
        return None
    if os.access("/tmp", os.W_OK | os.X_OK):  # noqa: S108  the one short name that every system has
        return f"/tmp/ray-{os.getuid()}"  # noqa: S108
    raise ConfigError(
        f"the temporary folder {folder} has a name of {len(os.fsencode(folder))} bytes, and Ray's sockets allow "
        f"{LONGEST_TMPDIR}; remedy: set RAY_TMPDIR to a folder with a shorter name"
    )


@contextmanager
def _explain_refusals(address: str) -> Iterator[None]:
    import ray

    try:
        yield
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        if not address:
            raise
        message = " ".join(str(error).split())
        remedy = "is it running, and is this one of its nodes? See ray status"
        if isinstance(error, ray.exceptions.AuthenticationError):
            remedy = "set RAY_AUTH_MODE, and with token RAY_AUTH_TOKEN, here as on the cluster's nodes"
        if "mismatch" in message:
            remedy = "use the same Ray and Python on every node: one environment, one image"
        raise ConfigError(f"the Ray cluster at {address}: {message}; remedy: {remedy}") from None


def _silence_native_lines() -> None:
    """Ray's C++ side writes warnings about its own internals to descriptor 2; its session logs keep them.

    Python's stderr moves to a copy of the descriptor, so that messages, tracebacks and the progress stay visible.
    """
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _quieten_ray_data() -> None:
    """Progress is read from the store and shown by us: Ray's own bars name every stage alike."""
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = -1  # a part of slow captions may take longer; workers have time-outs
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _check_fit(stages: Sequence[Stage], cpus: int) -> None:
    """When the smallest pools do not fit together, Ray loses all overlap without a word."""
    needed = sum(stage.resources.cpus * stage.resources.min_workers for stage in stages)
    if needed > cpus:
        shares = ", ".join(f"{s.name} {s.resources.min_workers} x {s.resources.cpus:g}" for s in stages)
        raise ConfigError(
            f"the stages need {needed:g} CPUs at once ({shares}), run.cpus offers {cpus}; remedy: lower workers or "
            "cpus_per_worker of a stage"
        )
    if any(stage.resources.gpus for stage in stages) and not os.environ.get("CUDA_VISIBLE_DEVICES", "all"):
        raise StageError("a stage asks for a GPU and CUDA_VISIBLE_DEVICES hides all of them")


def make_cluster(store: Store, settings: ArchiveSettings) -> Cluster:
    """The Ray that a run over the archive uses; it starts when the first part is to be run."""
    run = settings.run
    return Cluster(
        address=address_of(run.ray_address),
        cpus=run.cpus,
        give_up_after=run.give_up_after,
        look=lambda: start_preflight(store, local_paths(settings)),
        begin=make_rate_limits(store, settings).begin,
    )
