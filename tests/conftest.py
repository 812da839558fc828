"""What every test shares: the packages of the repository root, and a fresh store."""

import sys
from pathlib import Path

import pytest

# The folders of tests carry the packages' names; the root must be on the path, or Python takes them for the packages.
sys.path.insert(0, str(Path(__file__).parents[1]))

from moodarchive.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store whose root does not exist yet."""
    return Store(str(tmp_path / "root"))
