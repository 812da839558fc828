"""The editor's small models, made once a session."""

import pytest

from tests.editor.small_models import SmallModels, small_models


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallModels:
    return small_models(tmp_path_factory.mktemp("small-models"))
