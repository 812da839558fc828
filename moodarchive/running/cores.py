"""How many CPU cores this process may use."""

import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """Whole cores: those that the process may run on, and no more than its container is given time for; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(int(quota) for quota in _quotas())]))


def _quotas() -> list[float]:
    """Cores that the control group's limit of CPU time comes to (version 2, then version 1); empty without one."""
    quotas = []
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((_CGROUPS / name).read_text() for name in names).split()
            if int(quota) > 0 and int(period) > 0:
                quotas.append(int(quota) / int(period))
        except (OSError, ValueError):  # no such file, or "max": no limit
            continue
    return quotas
