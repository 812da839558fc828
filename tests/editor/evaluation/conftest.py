"""The measures' small models, made once a session, and folders of pairs."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a missing folder is no reason to ask a hub

import pytest

from tests.editor.evaluation.measuring_models import MeasuringModels, measuring_models


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> MeasuringModels:
    return measuring_models(tmp_path_factory.mktemp("measuring"))
