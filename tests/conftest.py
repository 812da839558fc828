"""What every test shares: a fresh store, and one on a disk that is soon full."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from moodarchive.running.own_packages import HOME
from moodarchive.storage.store import Store

# what tests start searches no working directory: it finds the tests' own modules by this
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HOME), os.environ.get("PYTHONPATH", "")]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no process waits at the end for another's long one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store whose root does not exist yet."""
    return Store(str(tmp_path / "root"))


@pytest.fixture
def finish_wandb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """W&B offline; the call waits until its own process has written all.

    It keeps the environment of a process's first run (the folder, too), and would write into an earlier test's folder.
    """
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    wandb.teardown()
    yield wandb.teardown
    wandb.teardown()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Store]:
    """A store on a file system of 64 KiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount the small file system that this test fills")
    where = tmp_path / "tiny"
    where.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", where], check=False)
    if mounted.returncode:
        pytest.skip("this machine allows no mount")
    yield Store(str(where))
    subprocess.run(["umount", "-l", where], check=True)
