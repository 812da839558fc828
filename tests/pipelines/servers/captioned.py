"""Captions parts with servers that the run starts itself, in this process or as a program that tests can kill.

``python -m tests.pipelines.servers.captioned ROOT PARTS MODEL SERVERS``, the last as JSON.
"""

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import psutil

from annotate.caption import CaptionSettings, caption_stage
from moodarchive.archive.writer_lock import RUN_VARIABLE
from moodarchive.storage.store import Store
from moodarchive.tables.parts import read_part
from moodarchive.tables.schemas import CAPTIONS
from pipelines.runner.cluster import Cluster
from pipelines.runner.execute import run_stages
from pipelines.servers.pool import ManagedServers
from pipelines.servers.settings import ServerSettings

MODEL = "served-by-the-run"


def caption_managed(
    store: Store, parts: int, servers: ServerSettings, model: str = MODEL, own_ray: bool = True, **settings: Any
) -> list[dict[str, Any]]:
    """Every row of the captions table after the run."""
    caption = CaptionSettings(model=model, **{"in_flight": 4, "timeout_s": 30.0, **settings})
    managed = ManagedServers(settings=servers, caption=caption, store=store, own_ray=own_ray)
    stages = [caption_stage(caption, managed.live)]
    with Cluster(cpus=2, give_up_after=2) as cluster, managed:
        cluster.start(stages)
        managed.start(stages)
        run_stages(stages, store, range(parts), cluster)
    return [row for part in range(parts) for batch in read_part(store, CAPTIONS, part) for row in batch.to_pylist()]


def processes_with(word: str) -> list[psutil.Process]:
    """Living processes whose command line holds the word; ``word`` must be unlike anything of another test."""
    found = []
    for process in psutil.process_iter():
        try:
            if word in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return [process for process in found if process.pid != os.getpid()]


def all_gone(word: str, within_s: float = 15.0) -> bool:
    """True once no process has the word on its command line any more."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not processes_with(word):
            return True
        time.sleep(0.1)
    return False


def start_captioning(root: Path, parts: int, servers: ServerSettings, model: str = MODEL) -> "subprocess.Popen[bytes]":
    """The same in a process, and a process group, of its own."""
    command = [sys.executable, "-m", "tests.pipelines.servers.captioned", str(root), str(parts), model]
    return subprocess.Popen([*command, servers.model_dump_json()], start_new_session=True)


def main(root: str, parts: str, model: str, servers: str) -> None:
    os.environ[RUN_VARIABLE] = uuid.uuid4().hex
    caption_managed(Store(root), int(parts), ServerSettings.model_validate_json(servers), model)


if __name__ == "__main__":
    main(*sys.argv[1:])
