"""The whole pipeline on an object store: the same bytes as on a disk, kills and a full store included."""

import json
import random
import signal
import subprocess
import time
from pathlib import Path

import fsspec
import pytest

from moodarchive.storage.store import Store
from tests.object_store import BUCKET, SECRET, ObjectStore, object_store  # noqa: F401  the fixture ``server``
from tests.pipelines.running import FLAGS, archive_digest, moodarchive, signal_group, start

pytestmark = pytest.mark.slow


def _copied(root: str, folder: Path) -> Path:
    fsspec.filesystem("s3").get(f"{root.removeprefix('s3://')}/", f"{folder}/", recursive=True)
    return folder


def _killed_when(store: Store, there: str) -> None:
    process = start("demo", "--root", store.root, *FLAGS)
    while not store.exists(there) and process.poll() is None:
        time.sleep(0.05)
    signal_group(process, signal.SIGKILL)
    process.communicate()


def test_a_killed_build_on_s3_goes_on_to_the_bytes_of_a_build_on_disk(
    server: ObjectStore, undisturbed: tuple[str, float], tmp_path: Path
) -> None:
    store = Store(f"s3://{BUCKET}/killed")
    _killed_when(store, "images/00000.json")
    done = moodarchive("demo", "--root", store.root, *FLAGS)
    assert done.returncode == 0, done.stdout + done.stderr
    copy = _copied(store.root, tmp_path / "copy")
    assert archive_digest(copy) == undisturbed[0]
    assert not any(SECRET.encode() in path.read_bytes() for path in copy.rglob("*") if path.is_file())
    _is_readable_by_every_verb(store)


def _is_readable_by_every_verb(store: Store) -> None:
    assert "whole" in moodarchive("verify", store.root).stdout
    assert f"{store.root}: sealed" in moodarchive("status", store.root).stdout
    assert "report/index.html" in moodarchive("report", store.root).stdout
    with store.open_read("shards/train/sizes.json") as file:
        assert json.load(file)
    store.remove("shards/train/00000.tar")
    damaged = moodarchive("verify", store.root)
    assert damaged.returncode == 1 and "shards/train/00000.tar: missing" in damaged.stdout


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(5))
def test_kills_at_random_moments(
    seed: int, server: ObjectStore, undisturbed: tuple[str, float], tmp_path: Path
) -> None:
    root = f"s3://{BUCKET}/seed{seed}"
    process = start("demo", "--root", root, *FLAGS)
    try:
        process.wait(random.Random(seed).uniform(4, 30))
    except subprocess.TimeoutExpired:
        signal_group(process, signal.SIGKILL)
    process.communicate()
    done = moodarchive("demo", "--root", root, *FLAGS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert archive_digest(_copied(root, tmp_path / "copy")) == undisturbed[0]


@pytest.mark.torture
@pytest.mark.parametrize("refused", [True, False])
def test_uploads_that_fail_leave_no_part_and_a_rerun_completes(
    refused: bool, server: ObjectStore, undisturbed: tuple[str, float], tmp_path: Path
) -> None:
    store = Store(f"s3://{BUCKET}/full{refused}")
    server.break_uploads("/captions/.*parquet", refused=refused)
    failed = moodarchive("demo", "--root", store.root, *FLAGS)
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "remedy" in failed.stderr and "Traceback" not in failed.stderr
    assert store.names("captions") == []
    server.mend()
    done = moodarchive("demo", "--root", store.root, *FLAGS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert archive_digest(_copied(store.root, tmp_path / "copy")) == undisturbed[0]


def test_wrong_use_is_answered_without_a_traceback(server: ObjectStore, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[search]\nuser_agent = "MoodArchive test"\n')
    for verb in (("status",), ("run", str(config), "--root")):
        done = moodarchive(*verb, "s3://no-such-bucket/root")
        assert done.returncode in (1, 2) and "no bucket 'no-such-bucket'" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
