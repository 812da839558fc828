"""Every command that joins a Ray cluster finds it in the same way."""

import pytest

from moodarchive.errors import ConfigError
from moodarchive.running.ray_address import address_of


def test_the_address_is_the_setting_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert address_of("") == "10.0.0.1:6379"
    assert address_of("auto") == "auto"
    assert address_of("local") == ""
    with pytest.raises(ConfigError, match="must be part of the cluster"):
        address_of("ray://10.0.0.1:10001")
