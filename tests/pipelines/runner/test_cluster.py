"""Runs on several Ray nodes: what each must see, what the loss of one costs, and that the bytes stay the same."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from moodarchive.errors import ConfigError
from moodarchive.storage.store import Store
from pipelines.runner.cluster import LONGEST_TMPDIR, Cluster, choose_temporary_folder
from pipelines.runner.preflight import TOKEN_FOLDER, LocalPath, end_preflight, requirements_by, start_preflight
from tests.pipelines.ray_nodes import Nodes, ray_nodes
from tests.pipelines.running import archive_digest, moodarchive

IMAGES = 60


@pytest.fixture(autouse=True)
def without_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's client settles on one mode a process: a cluster with tokens after one without would refuse it."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    """A cluster of one node; tests add others."""
    with ray_nodes(1) as running:
        yield running


LONGEST_SOCKET = "/ray/session_2026-11-27_21-04-09_123456_4194304/sockets/plasma_store"


def test_a_long_temporary_folder_gives_way_to_a_short_one_or_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LONGEST_TMPDIR + len(LONGEST_SOCKET) < 107
    monkeypatch.setenv("RAY_TMPDIR", "/" + "x" * (LONGEST_TMPDIR - 1))
    assert choose_temporary_folder() is None
    monkeypatch.setenv("RAY_TMPDIR", "/" + "ü" * (LONGEST_TMPDIR - 1))
    folder = choose_temporary_folder()
    assert folder is not None and len(folder) < 20
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ConfigError, match=r"a name of \d+ bytes.*remedy: set RAY_TMPDIR"):
        choose_temporary_folder()


@pytest.mark.alone
@pytest.mark.slow
def test_ray_starts_below_a_long_temporary_folder_with_workers_that_yield_a_little(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    text = """
import os, ray
from pipelines.runner.cluster import Cluster
with Cluster(cpus=1) as cluster:
    cluster.start([])
    print("started; a worker's niceness is", ray.get(ray.remote(lambda: os.nice(0)).remote()))
"""
    environment = {**os.environ, "TMPDIR": str(folder)}
    environment.pop("RAY_TMPDIR", None)
    started = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, check=False)
    # as little as lets Ray's own processes go first: beside a busy neighbour a worker still has a share of its core
    assert started.stdout.strip() == "started; a worker's niceness is 5", started.stderr


def _built(root: Path, address: str, workers: int) -> "subprocess.Popen[str]":
    arguments = (str(root), address, str(IMAGES), str(workers))
    return subprocess.Popen(
        [sys.executable, "-m", "tests.pipelines.clustered", *arguments], stderr=subprocess.PIPE, text=True
    )


@pytest.mark.alone
@pytest.mark.slow
def test_nodes_that_do_not_see_what_the_run_needs_are_named(nodes: Nodes, tmp_path: Path) -> None:
    root, models = tmp_path / "root", tmp_path / "models"
    root.mkdir()
    models.mkdir()
    try:
        nodes.add(without=str(root))
    except AssertionError as error:
        pytest.skip(f"this machine lets no node see less: {error}")
    store = Store(str(root))
    with (
        pytest.raises(ConfigError) as caught,
        Cluster(address=nodes.address, look=lambda: start_preflight(store, ())) as c,
    ):
        c.start([])
    assert "1 of 2 nodes" in str(caught.value) and f"does not see the root {root}" in str(caught.value)
    assert "remedy: a root that all nodes share" in str(caught.value)
    shared = Store(str(models))
    with Cluster(address=nodes.address, look=lambda: start_preflight(shared, ())) as cluster:
        cluster.start([])  # what both nodes see is accepted
    assert shared.names(TOKEN_FOLDER) == []


@pytest.mark.slow
def test_the_limiter_comes_back_with_its_quotas_and_rates_when_its_process_dies(store: Store) -> None:
    command = [sys.executable, "-m", "tests.pipelines.killed_limiter", store.root]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_look_that_differs_is_told(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    requirements = start_preflight(store, (LocalPath(setting="score.model", path=str(tmp_path / "model")),))
    assert "score.model" in requirements.missing() and "every node" in requirements.missing()
    (tmp_path / "model").mkdir()
    assert requirements.missing() == ""
    from dataclasses import replace

    assert "has moodarchive" in replace(requirements, version="0.0.0").missing()
    assert "does not see the root" in replace(requirements, store=Store(str(tmp_path / "elsewhere"))).missing()
    end_preflight(requirements)
    assert store.files() == {}


def test_a_seal_is_looked_for_and_left_where_it_is(store: Store) -> None:
    store.write_bytes("manifest.json", b"{}")
    requirements = requirements_by(store, "manifest.json")
    assert requirements.missing() == ""
    end_preflight(requirements)
    assert store.names() == ["manifest.json"]


def test_a_relative_path_is_refused_on_a_cluster(store: Store) -> None:
    with pytest.raises(ConfigError, match=r"sources.urls.folder = 'photos' is relative"):
        start_preflight(store, (LocalPath(setting="sources.urls.folder", path="photos"),))


def test_an_address_where_nothing_listens_is_named_at_once() -> None:
    began = time.monotonic()
    with (
        pytest.raises(ConfigError, match=r"cluster at 127.0.0.1:9: .*refused.*remedy"),
        Cluster(address="127.0.0.1:9") as c,
    ):
        c.start([])
    assert time.monotonic() - began < 10


def test_another_ray_on_the_cluster_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def mismatch(**_: object) -> None:
        raise RuntimeError("Version mismatch: The cluster was started with: Ray: 2.50.0 Python: 3.11.7")

    monkeypatch.setattr(ray, "init", mismatch)
    with pytest.raises(ConfigError, match=r"Ray: 2\.50\.0 .*same Ray and Python"), Cluster(address="auto") as cluster:
        cluster.start([])


@pytest.mark.alone
@pytest.mark.torture
def test_worker_counts_and_the_loss_of_one_of_three_nodes_change_no_byte(nodes: Nodes, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    done = moodarchive("demo", "--root", str(alone), "--images", str(IMAGES), "--no-train")
    assert done.returncode == 0, done.stdout + done.stderr
    several = _built(tmp_path / "several", "local", 3)
    assert several.wait(300) == 0, several.stderr and several.stderr.read()
    assert archive_digest(tmp_path / "several") == archive_digest(alone)
    nodes.add()
    doomed = nodes.add()
    root = tmp_path / "three"
    run = _built(root, nodes.address, 3)
    while not list(root.glob("images/*.json")) and run.poll() is None:
        time.sleep(0.05)
    nodes.kill(doomed)
    assert run.wait(400) == 0, run.stderr and run.stderr.read()
    assert archive_digest(root) == archive_digest(alone)
