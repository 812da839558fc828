"""Tars are those of the field's tools, byte by byte, and writing them takes no more memory for a larger part."""

import subprocess
import sys
import tarfile

import numpy as np
import pytest

from moodarchive.storage.store import Store
from shards.tars import member_header
from tests.making import IMAGE_TABLES, Fate, write_rows

PACKING = """
import sys
from moodarchive.running.stage import run_part
from moodarchive.storage.store import Store
from shards.pack import ShardSettings, pack_stage

stage = pack_stage(ShardSettings())
run_part(stage, Store(sys.argv[1]), stage.make_worker(), int(sys.argv[2]))
# unlike getrusage, this forgets the process that started this one
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.parametrize("name", ["a.txt", "0123456789abcdef.json", "k" * 100])
@pytest.mark.parametrize("size", [0, 1, 511, 512, 110_003, 8**11 - 1])
def test_a_header_is_the_one_that_tarfile_writes(name: str, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o644, 0
    assert member_header(name, size) == info.tobuf(tarfile.USTAR_FORMAT)


def _write_part(store: Store, part: int, rows: int) -> None:
    """Rows with a picture of 300 kB each, which packing never looks into."""
    noise = np.random.default_rng(0).bytes(300_000)
    fates = sorted((Fate(number=number).rows() for number in range(rows)), key=lambda row: str(row["items"]["key"]))
    for fate in fates:
        fate["images"]["bytes"] = noise
    for table in IMAGE_TABLES:
        write_rows(store, table, part, [fate[table.name] for fate in fates])


def test_five_times_the_part_needs_no_more_memory(store: Store) -> None:
    peaks = []
    for part, rows in enumerate((100, 500)):
        _write_part(store, part, rows)
        command = [sys.executable, "-c", PACKING, store.root, str(part)]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) // 1024)
    assert peaks[1] - peaks[0] < 75, f"MiB at 30 MB and at 150 MB of pictures: {peaks}"
