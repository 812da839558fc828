"""One finished demo archive for all tests that only read it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipelines.running import moodarchive

IMAGES = 120


@pytest.fixture(scope="session")
def demo_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed archive of drawn pictures; tests that change it take a copy."""
    root = tmp_path_factory.mktemp("demo") / "archive"
    done = moodarchive("demo", "--root", str(root), "--images", str(IMAGES))
    assert done.returncode == 0, done.stdout + done.stderr
    (root.parent / "output.txt").write_text(done.stdout)
    return root


@pytest.fixture
def damaged_copy(demo_root: Path, tmp_path: Path) -> Callable[[], Path]:
    """Makes a copy of the finished archive that a test may damage."""

    def copy() -> Path:
        return Path(shutil.copytree(demo_root, tmp_path / "copy"))

    return copy
