"""The editor's small models, made once a session, and a cache of the test's own."""

from pathlib import Path

import pytest

from tests.editor.small_models import SmallModels, small_models


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("editor.weights_digest.cache_folder", lambda: tmp_path / "cache")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallModels:
    return small_models(tmp_path_factory.mktemp("small-models"))
