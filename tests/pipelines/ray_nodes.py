"""A Ray cluster of several nodes on this machine, each a raylet of its own that can be killed or see less."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

RAY = (sys.executable, "-m", "ray.scripts.scripts")
QUIET = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
}
# a dead node is noticed after seconds, not half a minute
FAST = {"health_check_period_ms": 500, "health_check_timeout_ms": 1000, "health_check_failure_threshold": 3}


@dataclass
class Nodes:
    """A running cluster; ``address`` is what a run is given."""

    address: str = ""
    started: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def add(self, *, head: bool = False, cpus: int = 2, without: str = "", resources: str = "{}") -> int:
        """Starts a node in a process group of its own and gives its place; one ``without`` a folder sees it empty."""
        port = ("--head", "--port=0", "--include-dashboard=false") if head else (f"--address={self.address}",)
        system = (f"--system-config={json.dumps(FAST)}",) if head else ()
        with tempfile.TemporaryDirectory() as folder:
            output_path = Path(folder) / "address"
            given = (
                f"--num-cpus={cpus}",
                f"--resources={resources}",
                "--disable-usage-stats",
                "--node-ip-address=127.0.0.1",
                "--block",
            )
            command = [*RAY, "start", *port, *given, "--object-store-memory=80000000", *system]
            if without:
                hide = f"mount -t tmpfs tmpfs '{without}' && exec \"$@\""
                command = ["unshare", "--mount", "sh", "-c", hide, "sh", *command]
            environment = {**os.environ, **QUIET}
            with output_path.open("wb") as output:
                process = subprocess.Popen(
                    command, stdout=output, stderr=output, env=environment, start_new_session=True
                )
            self.started.append(process)
            self._await(process, output_path, head=head)
        return len(self.started) - 1

    def kill(self, number: int) -> None:
        """The node and all its workers are gone at once, as when its machine loses power."""
        _kill([self.started[number].pid])

    def end(self) -> None:
        """Kills what is left."""
        _kill([process.pid for process in self.started])

    def _await(self, process: "subprocess.Popen[bytes]", output_path: Path, *, head: bool) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            text = output_path.read_text(errors="replace")
            if "Ray runtime started" in text:
                if head:
                    address = re.search(r"\d+[.]\d+[.]\d+[.]\d+:\d+", text)
                    assert address, text
                    self.address = address[0]
                return
            time.sleep(0.1)
        raise AssertionError(f"a Ray node did not start: {output_path.read_text(errors='replace')}")


def _kill(roots: Sequence[int]) -> None:
    everyone: list[psutil.Process] = []
    for pid in roots:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            everyone += [process, *process.children(recursive=True)]
    for process in everyone:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(everyone, timeout=10)


@contextmanager
def ray_nodes(count: int) -> Iterator[Nodes]:
    """A cluster of so many nodes."""
    nodes = Nodes()
    try:
        nodes.add(head=True)
        for _ in range(count - 1):
            nodes.add()
        yield nodes
    finally:
        nodes.end()
