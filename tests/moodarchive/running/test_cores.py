"""A process counts the cores that it may use, not those that the machine has."""

import os
from pathlib import Path

import pytest

from moodarchive.running import cores
from moodarchive.running.cores import available_cores


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the control group's files are, on a machine of 16 cores."""
    monkeypatch.setattr(cores, "_CGROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)), raising=False)
    return tmp_path


def test_without_a_limit_the_cores_of_the_affinity_count(group: Path) -> None:
    assert available_cores() == 16
    (group / "cpu.max").write_text("max 100000\n")
    assert available_cores() == 16


@pytest.mark.parametrize(("quota", "count"), [("400000 100000", 4), ("250000 100000", 2), ("50000 100000", 1)])
def test_a_containers_limit_of_cpu_time_counts_in_whole_cores(quota: str, count: int, group: Path) -> None:
    (group / "cpu.max").write_text(f"{quota}\n")
    assert available_cores() == count


def test_the_older_form_of_the_limit_counts_too(group: Path) -> None:
    (group / "cpu").mkdir()
    (group / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    (group / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert available_cores() == 16
    (group / "cpu" / "cpu.cfs_quota_us").write_text("300000\n")
    assert available_cores() == 3
