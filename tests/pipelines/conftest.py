"""One finished demo archive for all tests that only read it."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from tests.pipelines.running import FLAGS, archive_digest, moodarchive

IMAGES = 120


def shared_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder that all processes of one test run share; made if it lacks."""
    own = factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def demo_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed archive of drawn pictures, built by the first process that asks; tests that change it take a copy."""
    folder = shared_folder(tmp_path_factory, "demo")
    root, output = folder / "archive", folder / "output.txt"
    with FileLock(folder / "lock"):
        if not output.exists():
            done = moodarchive("demo", "--root", str(root), "--images", str(IMAGES), "--no-train")
            assert done.returncode == 0, done.stdout + done.stderr
            output.write_text(done.stdout)
    return root


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, float]:
    """The digest of a run that nobody disturbed, and how long it took (seconds); run by the first process that asks."""
    folder = shared_folder(tmp_path_factory, "undisturbed")
    root, record = folder / "archive", folder / "record.json"
    with FileLock(folder / "lock"):
        if not record.exists():
            began = time.monotonic()
            done = moodarchive("demo", "--root", str(root), *FLAGS)
            assert done.returncode == 0, done.stdout + done.stderr
            record.write_text(json.dumps([archive_digest(root), time.monotonic() - began]))
    digest, seconds = json.loads(record.read_text())
    return digest, seconds


@pytest.fixture
def damaged_copy(demo_root: Path, tmp_path: Path) -> Callable[[], Path]:
    """Makes a copy of the finished archive that a test may damage."""

    def copy() -> Path:
        return Path(shutil.copytree(demo_root, tmp_path / "copy"))

    return copy
