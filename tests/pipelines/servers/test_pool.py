"""Servers that the run starts are found, replaced while it goes on, named when they fail, and never left behind."""

import json
import os
import signal
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from annotate.caption import CaptionSettings
from filter.score import ScoreSettings, score_stage
from moodarchive.errors import ConfigError, PartsFailedError
from moodarchive.settings import load
from moodarchive.storage.store import Store
from pipelines.servers.pool import ManagedServers, upload
from pipelines.servers.settings import ServerSettings
from tests.annotate.simulated_run import write_parts
from tests.pipelines.servers.captioned import all_gone, caption_managed, processes_with, start_captioning
from tests.pipelines.servers.stand_in_vllm import wrapper

KEY = "a-key-that-no-file-may-hold"


def server_of(folder: Path) -> list[psutil.Process]:
    """The server's own process, not its reaper and not its engine."""
    found = processes_with("tests.pipelines.servers.stand_in_vllm")
    return [
        p
        for p in found
        if str(folder) not in " ".join(p.cmdline()) and p.environ().get("STAND_IN_EVENTS", "").startswith(str(folder))
    ]


@pytest.fixture
def marker() -> str:
    """A word that only this test's servers have on their command lines."""
    return uuid.uuid4().hex


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.torture)])
def test_a_run_s_own_server_may_be_killed(
    times: int, tmp_path: Path, marker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOODARCHIVE_CHAT_KEY", KEY)
    store = write_parts(tmp_path / "root", 3, 40 * times)
    kills: list[int] = []

    def torment() -> None:
        while len(kills) < times:
            for server in server_of(tmp_path):
                if server.pid not in kills and f'"pid": {server.pid},' in (tmp_path / "events").read_text():
                    server.send_signal(signal.SIGKILL)
                    kills.append(server.pid)
            time.sleep(0.05)

    (tmp_path / "events").touch()
    thread = threading.Thread(target=torment, daemon=True)
    thread.start()
    python = str(wrapper(tmp_path, marker))
    rows = caption_managed(store, 3, ServerSettings(count=1, gpus=0.0, python=python))
    assert len(kills) == times
    assert len({row["key"] for row in rows}) == len(rows) == 120 * times
    assert Counter(row["status"] for row in rows) == {"ok": 120 * times}
    assert all_gone(marker), processes_with(marker)
    assert (tmp_path / "root/logs/servers/00.log").exists()
    for file in (tmp_path / "root").rglob("*"):
        assert file.is_dir() or KEY.encode() not in file.read_bytes(), file


@pytest.mark.slow
@pytest.mark.torture
def test_in_a_cluster_each_server_listens_where_other_machines_reach_it(tmp_path: Path, marker: str) -> None:
    store = write_parts(tmp_path / "root", 2, 20)
    servers = ServerSettings(count=2, gpus=0.0, python=str(wrapper(tmp_path, marker)))
    rows = caption_managed(store, 2, servers, own_ray=False)
    assert Counter(row["status"] for row in rows) == {"ok": 40}
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert len({event["pid"] for event in events}) == 2
    assert "127.0.0.1" not in {event["host"] for event in events}
    assert all_gone(marker)


@pytest.mark.slow
@pytest.mark.torture
def test_a_server_that_cannot_start_ends_the_run_with_its_log_and_the_remedy(tmp_path: Path, marker: str) -> None:
    store = write_parts(tmp_path / "root", 2, 8)
    settings = ServerSettings(count=1, gpus=0.0, python=str(wrapper(tmp_path, marker)), weights="no-such-weights")
    with pytest.raises(PartsFailedError, match=r"did not start.*no-such-weights is no folder.*00\.log.*remedy"):
        caption_managed(store, 2, settings)
    assert all_gone(marker)


def _kill_driver(driver: "subprocess.Popen[bytes]", folder: Path) -> None:
    driver.send_signal(signal.SIGKILL)


def _interrupt_driver(driver: "subprocess.Popen[bytes]", folder: Path) -> None:
    os.killpg(driver.pid, signal.SIGINT)


def _kill_server_actor(driver: "subprocess.Popen[bytes]", folder: Path) -> None:
    """The Ray worker that holds the server; a new one takes its place, and the run goes on."""
    (server,) = server_of(folder)
    actor = server.parents()[2]
    assert "ManagedServer" in " ".join(actor.cmdline())
    actor.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "goes_on"),
    [
        (_kill_driver, False),
        pytest.param(_interrupt_driver, False, marks=pytest.mark.torture),
        pytest.param(_kill_server_actor, True, marks=pytest.mark.torture),
    ],
)
def test_no_server_is_left_however_the_run_ends(
    harm: Callable[["subprocess.Popen[bytes]", Path], None], goes_on: bool, tmp_path: Path, marker: str
) -> None:
    write_parts(tmp_path / "root", 2, 150)
    servers = ServerSettings(count=1, gpus=0.0, python=str(wrapper(tmp_path, marker)))
    driver = start_captioning(tmp_path / "root", 2, servers)
    events = tmp_path / "events"
    while not events.exists():
        assert driver.poll() is None
        time.sleep(0.05)
    assert processes_with(marker)
    harm(driver, tmp_path)
    assert (driver.wait(60) == 0) is goes_on
    assert all_gone(marker), processes_with(marker)
    if goes_on:
        pids = {json.loads(line)["pid"] for line in events.read_text().splitlines()}
        assert len(pids) == 2
        assert len(list((tmp_path / "root/captions").glob("*.json"))) == 2


def test_what_is_passed_on_to_vllm_is_named_one_by_one() -> None:
    for argument in ("--trust-remote-code", "--api-key=x", "--host=0.0.0.0", "--allowed-local-media-path=/"):
        with pytest.raises(ConfigError, match=r"arguments.*is not passed on; legal"):
            load(ServerSettings, f'arguments = ["{argument}"]', "my.toml")
    with pytest.raises(ConfigError, match="takes each whole"):
        load(ServerSettings, "tensor_parallel = 2\ngpus = 0.5", "my.toml")


@pytest.mark.parametrize("python", ["/no/such/python", "/bin/false"])
def test_a_python_without_vllm_is_named_before_anything_starts(python: str, tmp_path: Path) -> None:
    managed = ManagedServers(
        settings=ServerSettings(count=1, python=python),
        caption=CaptionSettings(),
        store=Store(str(tmp_path)),
        own_ray=True,
    )
    with pytest.raises(ConfigError, match=rf"{python} has no vLLM; remedy: pip install.*MOODARCHIVE_VLLM_PYTHON"):
        managed.check_python()


def test_too_few_gpus_are_named_before_anything_starts(tmp_path: Path) -> None:
    managed = ManagedServers(
        settings=ServerSettings(count=2, tensor_parallel=2),
        caption=CaptionSettings(),
        store=Store(str(tmp_path)),
        own_ray=True,
    )
    score = score_stage(ScoreSettings(gpus_per_worker=1.0))
    managed.check_fit([score], 5.0)
    with pytest.raises(ConfigError, match=r"2 caption servers need 4 GPUs and the other stages 1, this.*has 4; remedy"):
        managed.check_fit([score], 4.0)


def test_an_object_store_gets_the_log_s_end_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOODARCHIVE_CHAT_KEY", KEY)
    log, store = tmp_path / "server.log", Store(f"memory://{tmp_path}")
    log.write_text(f"started\nAuthorization: Bearer {KEY}\n")
    ended = threading.Thread(target=str)
    ended.start()
    upload(store, "logs/servers/00.log", log, ended)
    assert store.read_bytes("logs/servers/00.log") == b"started\nAuthorization: Bearer [redacted]\n"
    assert not log.exists()
