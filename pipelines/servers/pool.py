"""The run's vLLM servers as Ray actors, one a GPU group, and where they can be reached at the moment."""

import os
import secrets
import subprocess
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Self

from annotate.caption import CaptionSettings
from moodarchive.errors import ConfigError, ServiceError
from moodarchive.running.part_log import redact
from moodarchive.running.stage import Stage
from moodarchive.storage.store import Store
from pipelines.servers.settings import ServerSettings
from pipelines.servers.supervisor import PYTHON_VARIABLE, Report, ServerSupervisor, python_of

LOG_FOLDER = "logs/servers"
_LOG_BYTES = 1 << 20
_UPLOAD_S = 60.0
_STOP_S = 20.0


@dataclass(kw_only=True)
class PoolServers:
    """What the caption workers get: called, it gives the addresses that serve now.

    The key goes into the worker's environment, where the chat client takes it from and the logs' redaction knows it.
    """

    pool: str
    count: int
    key_variable: str
    key: str = field(repr=False)
    start_timeout_s: float
    _silent_since: float | None = None
    _last: tuple[str, ...] = ()

    def __call__(self) -> tuple[str, ...]:
        """ServiceError when every server fails to start, or none has begun within the time to start."""
        import ray

        os.environ[self.key_variable] = self.key
        try:
            reports: Sequence[Report] = ray.get(ray.get_actor(self.pool).reports.remote(), timeout=10.0)
        except (ray.exceptions.RayError, ValueError):
            return self._last  # the pool is being restarted; the servers tell it again within seconds
        self._last = tuple(report.url for report in reports if report.url)
        failures = [report.failure for report in reports if report.failure]
        if len(failures) == self.count:
            raise ServiceError(failures[0])
        if reports or self._silent_since is None:
            self._silent_since = time.monotonic()
        elif time.monotonic() - self._silent_since > self.start_timeout_s:
            raise ServiceError(
                f"no caption server got a place within {self.start_timeout_s:g} s; remedy: see that the cluster has "
                f"the GPUs of {self.count} servers (servers.count, servers.gpus)"
            )
        return self._last


@dataclass(frozen=True, kw_only=True)
class ServerPlan:
    """What every server of the run is started with; ``own_ray`` is False in a cluster that others started."""

    settings: ServerSettings
    caption: CaptionSettings
    store: Store
    own_ray: bool
    live: PoolServers = field(repr=False)


class Pool:
    """The actor that knows how each server is; what it forgets by a restart it is told again."""

    def __init__(self) -> None:
        self._reports: dict[int, Report] = {}

    def tell(self, report: Report) -> None:
        """Notes how a server is."""
        self._reports[report.number] = report

    def reports(self) -> list[Report]:
        """How each server is, as far as it has told."""
        return [self._reports[number] for number in sorted(self._reports)]


class ManagedServer:
    """The actor that holds one server's GPUs; Ray starts it anew, anywhere, when its process or node is lost."""

    def __init__(self, number: int, plan: "ServerPlan", pool: Any) -> None:
        os.environ[plan.live.key_variable] = plan.live.key  # so that it is known where logs are redacted
        store = plan.store
        log = f"{LOG_FOLDER}/{number:02d}.log"
        path = Path(store.path(log)) if store.is_local else Path(gettempdir()) / f"{plan.live.pool}-{number:02d}.log"
        self._supervisor = ServerSupervisor(
            number=number,
            settings=plan.settings,
            model=plan.caption.model,
            in_flight=plan.caption.in_flight,
            host="127.0.0.1" if plan.own_ray else _node_address(),
            key=plan.live.key,
            log=path,
            tell=pool.tell.remote,
            api_servers=plan.settings.api_servers_for(os.cpu_count() or 1, _servers_here(plan)),
        )
        self._thread = threading.Thread(target=self._supervisor.keep, daemon=True)
        self._thread.start()
        self._uploading = threading.Thread(target=partial(upload, store, log, path, self._thread), daemon=True)
        if not store.is_local:
            self._uploading.start()

    def stop(self) -> None:
        """Returns once the server is gone."""
        self._supervisor.stop()
        self._thread.join()
        if self._uploading.ident is not None:
            self._uploading.join()


def _servers_here(plan: "ServerPlan") -> int:
    """How many servers this machine may come to hold."""
    import ray

    settings = plan.settings
    if plan.own_ray or not settings.gpus_per_server:
        return settings.count
    here = ray.get_runtime_context().get_node_id()
    gpus = sum(node["Resources"].get("GPU", 0.0) for node in ray.nodes() if node["NodeID"] == here)  # type: ignore[no-untyped-call]
    return min(settings.count, max(1, int(gpus / settings.gpus_per_server)))


def _node_address() -> str:
    """What the cluster's other machines reach this one by."""
    from ray.util import get_node_ip_address

    return str(get_node_ip_address())  # type: ignore[no-untyped-call]


def upload(store: Store, log: str, path: Path, keeping: threading.Thread) -> None:
    """An object store has no file that grows: the log's end is written again each minute, and when the server ends."""
    while True:
        keeping.join(_UPLOAD_S)
        with suppress(Exception):  # the log is no reason to end a server
            data = path.read_bytes()[-_LOG_BYTES:]
            store.write_bytes(log, redact(data.decode(errors="replace")).encode())
        if not keeping.is_alive():
            path.unlink(missing_ok=True)
            return


@dataclass(kw_only=True)
class ManagedServers:
    """All servers of a run; a context manager that ends them with the block. Ray must run before ``start``."""

    settings: ServerSettings
    caption: CaptionSettings
    store: Store
    own_ray: bool
    live: PoolServers = field(init=False)
    _actors: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        variable = self.caption.key_variable
        self.live = PoolServers(
            pool=f"moodarchive-servers-{uuid.uuid4().hex[:12]}",
            count=self.settings.count,
            key_variable=variable,
            key=os.environ.get(variable) or secrets.token_urlsafe(32),
            start_timeout_s=self.settings.start_timeout_s,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.stop()

    def start(self, stages: Sequence[Stage]) -> None:
        """Begins to start them, once; ConfigError when a Ray of our own has too few GPUs for them and the stages."""
        if self._actors or not self.settings.count:
            return
        import ray

        if self.own_ray:
            self.check_python()
            self.check_fit(stages, ray.cluster_resources().get("GPU", 0.0))  # type: ignore[no-untyped-call]
        pool = ray.remote(Pool).options(name=self.live.pool, num_cpus=0, max_restarts=-1).remote()
        server = ray.remote(ManagedServer)
        gpus = self.settings.gpus_per_server
        plan = ServerPlan(
            settings=self.settings, caption=self.caption, store=self.store, own_ray=self.own_ray, live=self.live
        )
        self._actors = [pool]
        for number in range(self.settings.count):
            options = server.options(num_cpus=0, num_gpus=gpus, max_restarts=-1, max_concurrency=2)
            self._actors.append(options.remote(number, plan, pool))

    def check_python(self) -> None:
        """ConfigError when the Python that is to serve has no vLLM."""
        python = python_of(self.settings)
        asks = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"
        try:
            answer = subprocess.run([python, "-c", asks], cwd="/", check=False, capture_output=True)  # noqa: S603
            has_vllm = answer.returncode == 0
        except OSError:
            has_vllm = False
        if not has_vllm:
            raise ConfigError(
                f"servers.count = {self.settings.count}, but {python} has no vLLM; remedy: pip install "
                "'moodarchive[vllm]' in an environment of its own, and name its Python in servers.python or "
                f"{PYTHON_VARIABLE}"
            )

    def check_fit(self, stages: Sequence[Stage], gpus: float) -> None:
        """ConfigError when so many GPUs are too few."""
        servers = self.settings.count * self.settings.gpus_per_server
        others = sum(stage.resources.gpus * stage.resources.min_workers for stage in stages)
        if servers + others > gpus + 1e-6:
            raise ConfigError(
                f"{self.settings.count} caption servers need {servers:g} GPUs and the other stages {others:g}, this "
                f"machine has {gpus:g}; remedy: lower servers.count, or servers.gpus to share a GPU"
            )

    def stop(self) -> None:
        """Returns when they are gone; what does not answer is ended with its actor, whose end its reaper sees."""
        actors, self._actors = self._actors, []
        if not actors:
            return
        import ray

        with suppress(Exception):  # a cluster that is gone has taken its actors along
            ray.wait([actor.stop.remote() for actor in actors[1:]], num_returns=len(actors) - 1, timeout=_STOP_S)
        for actor in actors:
            with suppress(Exception):
                ray.kill(actor, no_restart=True)


def make_servers(store: Store, settings: ServerSettings, caption: CaptionSettings, ray_address: str) -> ManagedServers:
    """The servers of a run on the Ray at the address (empty: its own). ConfigError where the caption names others."""
    if settings.count and "servers" in caption.model_fields_set:
        raise ConfigError(
            f"servers.count = {settings.count} excludes caption.servers = {list(caption.servers)}"
            "; remedy: leave out caption.servers, or set servers.count = 0 to ask servers of your own"
        )
    return ManagedServers(settings=settings, caption=caption, store=store, own_ray=not ray_address)
