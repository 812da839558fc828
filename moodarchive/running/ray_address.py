"""Which Ray a run joins, by its settings and the environment."""

import os

from moodarchive.errors import ConfigError

OWN = "local"
"""The address that asks for a Ray of this run's own, whatever RAY_ADDRESS says."""


def address_of(setting: str) -> str:
    """The cluster's address: the setting, else RAY_ADDRESS; empty for a Ray of our own."""
    address = setting or os.environ.get("RAY_ADDRESS", "")
    if address.startswith("ray://"):
        raise ConfigError(
            f"{address}: the run itself must be part of the cluster; remedy: start it on the head node with "
            '"auto", or submit it as a job'
        )
    return "" if address == OWN else address
