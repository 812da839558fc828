"""One server is started again when it dies, and named when it cannot start."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipelines.servers import supervisor
from pipelines.servers.settings import ServerSettings
from pipelines.servers.supervisor import Report, ServerSupervisor
from tests.pipelines.servers.captioned import MODEL, processes_with
from tests.pipelines.servers.stand_in_vllm import wrapper

Reports = queue.SimpleQueue[Report]


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_REST_S", 0.05)


def keeping(folder: Path, weights: str) -> Iterator[Reports]:
    """A supervisor at work, until the block ends."""
    reports: Reports = queue.SimpleQueue()
    python = str(wrapper(folder, str(folder)))
    settings = ServerSettings(count=1, gpus=0.0, python=python, weights=weights)
    kept = ServerSupervisor(
        number=0, settings=settings, model=MODEL, in_flight=4, host="127.0.0.1", key="some-key",
        log=folder / "server.log", tell=reports.put,
    )  # fmt: skip
    thread = threading.Thread(target=kept.keep)
    thread.start()
    yield reports
    kept.stop()
    thread.join(20)
    assert not thread.is_alive() and not processes_with(str(folder))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Reports]:
    yield from keeping(tmp_path, "")


@pytest.fixture
def without_weights(tmp_path: Path) -> Iterator[Reports]:
    yield from keeping(tmp_path, "no-such-weights")


def next_url(reports: Reports, unlike: str = "") -> str:
    while (url := reports.get(timeout=30).url) in ("", unlike):
        continue
    return url


def test_a_killed_server_comes_back_at_another_address(served: Reports) -> None:
    first = next_url(served)
    port = int(first.rpartition(":")[2])
    (server,) = {c.pid for c in psutil.net_connections("tcp") if c.laddr.port == port and c.status == "LISTEN"}
    psutil.Process(server or 0).kill()
    assert supervisor.is_healthy(next_url(served, unlike=first))


def test_a_server_that_cannot_start_is_named_with_its_last_words(without_weights: Reports, tmp_path: Path) -> None:
    while not (failure := without_weights.get(timeout=30).failure):
        continue
    assert "did not start, 3 times: OSError: no-such-weights is no folder" in failure
    assert f"{tmp_path}/server.log" in failure and "remedy" in failure
