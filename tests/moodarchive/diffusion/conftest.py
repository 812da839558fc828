"""The editor's small models, for what reads a diffusion model's folder."""

import pytest

from tests.editor.small_models import SmallModels, small_models


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallModels:
    return small_models(tmp_path_factory.mktemp("small-models"))
