"""One sealed archive for all tests of changes, which take copies."""

import shutil
from pathlib import Path

import pytest

from moodarchive.storage.store import Store
from tests.whole_root import built_root


@pytest.fixture(scope="session")
def sealed_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once; only read."""
    root = tmp_path_factory.mktemp("whole") / "root"
    built_root(Store(str(root)))
    return root


@pytest.fixture
def archive(sealed_root: Path, tmp_path: Path) -> Store:
    """A copy that a test may change."""
    shutil.copytree(sealed_root, tmp_path / "root")
    return Store(str(tmp_path / "root"))
