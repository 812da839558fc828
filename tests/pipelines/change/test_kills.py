"""A change that is killed at any moment and asked for again ends as if nobody had disturbed it."""

import multiprocessing
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from moodarchive.storage.store import Store
from tests.pipelines.change.killing import CHANGES, run_change
from tests.whole_root import built_root, timeless_files
from validate.verify import verify

# children of a server that has imported everything and begun nothing: forking a process of many threads is no test
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.pipelines.change.killing"])


@dataclass(frozen=True)
class Undisturbed:
    """A root that is ready for the change, what the change makes of it, and by how many file operations."""

    ready: Path
    expected: dict[str, bytes]
    operations: int


@pytest.fixture(scope="module")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("small") / "root"
    built_root(Store(str(root)), pictures=14)
    return root


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.torture) if "after" in name or "better" in name else name
        for name in CHANGES
    ],
)
def undisturbed(
    request: pytest.FixtureRequest, small_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Undisturbed]]:
    name = str(request.param)
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(small_root, folder / "ready")
    CHANGES[name][0](Store(str(folder / "ready")))
    shutil.copytree(folder / "ready", folder / "done")
    counted = CONTEXT.Value("i", 0)
    assert _child(folder / "done", name, None, counted) == 0
    done = Store(str(folder / "done"))
    assert list(verify(done)) == []
    yield name, Undisturbed(folder / "ready", timeless_files(done), counted.value)


def _child(root: Path, name: str, kill_at: int | None, counted: object = None) -> int | None:
    process = CONTEXT.Process(target=run_change, args=(str(root), name, kill_at, counted))
    process.start()
    process.join(120)
    return process.exitcode


def _killed_and_asked_again(name: str, undisturbed: Undisturbed, root: Path, random: Random) -> None:
    shutil.copytree(undisturbed.ready, root)
    assert undisturbed.operations >= 5
    moments = [random.randint(1, undisturbed.operations)]
    while random.random() < 0.3:  # now and then the second try is killed too
        moments.append(random.randint(1, undisturbed.operations))
    assert _child(root, name, moments[0]) == -signal.SIGKILL
    for moment in moments[1:]:
        assert _child(root, name, moment) in (0, -signal.SIGKILL)
    assert _child(root, name, None) == 0
    store = Store(str(root))
    assert list(verify(store)) == [], moments
    assert timeless_files(store) == undisturbed.expected, moments
    shutil.rmtree(root)


def test_three_kills_at_random_moments(undisturbed: tuple[str, Undisturbed], tmp_path: Path) -> None:
    for seed in range(3):
        _killed_and_asked_again(*undisturbed, tmp_path / "root", Random(f"{undisturbed[0]} {seed}"))


@pytest.mark.torture
def test_twenty_kills_at_random_moments(undisturbed: tuple[str, Undisturbed], tmp_path: Path) -> None:
    for seed in range(20):
        _killed_and_asked_again(*undisturbed, tmp_path / "root", Random(f"torture {undisturbed[0]} {seed}"))
