"""One finished demo archive for all tests that only read it."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipelines.running import FLAGS, archive_digest, moodarchive

IMAGES = 120


@pytest.fixture(scope="session")
def demo_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed archive of drawn pictures; tests that change it take a copy."""
    root = tmp_path_factory.mktemp("demo") / "archive"
    done = moodarchive("demo", "--root", str(root), "--images", str(IMAGES), "--no-train")
    assert done.returncode == 0, done.stdout + done.stderr
    (root.parent / "output.txt").write_text(done.stdout)
    return root


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, float]:
    """The digest of a run that nobody disturbed, and how long it took (seconds)."""
    root = tmp_path_factory.mktemp("undisturbed") / "archive"
    began = time.monotonic()
    done = moodarchive("demo", "--root", str(root), *FLAGS)
    assert done.returncode == 0, done.stdout + done.stderr
    return archive_digest(root), time.monotonic() - began


@pytest.fixture
def damaged_copy(demo_root: Path, tmp_path: Path) -> Callable[[], Path]:
    """Makes a copy of the finished archive that a test may damage."""

    def copy() -> Path:
        return Path(shutil.copytree(demo_root, tmp_path / "copy"))

    return copy
