"""Keeps one vLLM server alive: starts it, waits for its health, starts it again when it ends, ends it for good."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from moodarchive.running.part_log import redact
from pipelines.servers.settings import Listening, ServerSettings, command_of

_REAPER = str(Path(__file__).with_name("process_reaper.py"))
"""By its path, because the server's environment holds no PYTHONPATH of ours."""
PYTHON_VARIABLE = "MOODARCHIVE_VLLM_PYTHON"
GRACE_S = 5.0
FIRST_REST_S, LONGEST_REST_S = 1.0, 60.0
STARTS_BEFORE_FAILURE = 3
_POLL_S = 0.25
_TELL_S = 1.0
_HEALTH_S = 5.0
_SILENT_S = 60.0
"""A server whose process lives but that answers no health check for so long is started anew."""
_OWN_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "OMP_NUM_THREADS")
"""Made for this program's Python, or set by Ray for its workers: wrong for another interpreter's server."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """How one server is: ``url`` while it serves; ``failure`` once it has failed to start several times in a row."""

    number: int
    url: str = ""
    failure: str = ""


@dataclass(kw_only=True)
class ServerSupervisor:
    """Calls ``tell`` about once a second from its own thread, which ends with ``stop``."""

    number: int
    settings: ServerSettings
    model: str
    in_flight: int
    host: str
    key: str = field(repr=False)
    log: Path
    tell: Callable[[Report], None]
    api_servers: int = 1
    _stopping: threading.Event = field(default_factory=threading.Event)
    _failures: int = 0
    _trouble: str = ""

    def keep(self) -> None:
        """Returns after ``stop``; leaves no process behind."""
        while not self._stopping.is_set():
            try:
                served = self._serve_once()
            except OSError as error:  # a full disk, too many files: it may pass
                served, self._trouble = False, str(error)
            self._failures = 0 if served else self._failures + 1
            self._rest()

    def _serve_once(self) -> bool:
        """From a start to its end; False when it never was healthy."""
        self._trouble = ""
        url, process = self._start()
        try:
            return self._await_health(url, process) and self._watch(url, process)
        finally:
            end(process)

    def stop(self) -> None:
        """Ends the server and the thread."""
        self._stopping.set()

    def _start(self) -> tuple[str, "subprocess.Popen[bytes]"]:
        with socket.socket() as held:
            held.bind((self.host, 0))
            port = held.getsockname()[1]
        listening = Listening(python=python_of(self.settings), host=self.host, port=port, api_servers=self.api_servers)
        command = command_of(self.settings, listening, model=self.model, in_flight=self.in_flight)
        environment = {name: value for name, value in os.environ.items() if name not in _OWN_VARIABLES}
        quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "PYTHONSAFEPATH": "1"}
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, _REAPER, str(GRACE_S), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**environment, **quiet, "VLLM_API_KEY": self.key},
                cwd="/",  # a module of the same name in the working folder must not shadow one of vLLM's
                start_new_session=True,  # Ctrl-C ends the run first, and the run its servers
            )
        return f"http://{self.host}:{port}", process

    def _await_health(self, url: str, process: "subprocess.Popen[bytes]") -> bool:
        deadline = time.monotonic() + self.settings.start_timeout_s
        while time.monotonic() < deadline and process.poll() is None:
            if is_healthy(url):
                return True
            self._say()
            if self._stopping.wait(_POLL_S):
                return False
        return False

    def _watch(self, url: str, process: "subprocess.Popen[bytes]") -> bool:
        """Returns True once the server has ended, has fallen silent, or is to stop."""
        healthy_at = checked_at = time.monotonic()
        self.tell(Report(number=self.number, url=url))
        told_at = time.monotonic()
        while process.poll() is None and not self._stopping.wait(_POLL_S):
            now = time.monotonic()
            if now - told_at >= _TELL_S:
                self.tell(Report(number=self.number, url=url))
                told_at = now
            if now - checked_at >= _HEALTH_S:
                checked_at = now
                healthy_at = now if is_healthy(url) else healthy_at
                if now - healthy_at > _SILENT_S:
                    break
        self._say()
        return True

    def _rest(self) -> None:
        """Between two starts; longer after each start in a row that came to nothing."""
        rest_s = min(LONGEST_REST_S, FIRST_REST_S * 2 ** min(max(self._failures - 1, 0), 16))
        deadline = time.monotonic() + rest_s
        while time.monotonic() < deadline and not self._stopping.wait(_POLL_S):
            self._say()

    def _say(self) -> None:
        """That there is no server now, and why if it keeps failing."""
        failure = ""
        if self._failures >= STARTS_BEFORE_FAILURE:
            failure = (
                f"caption server {self.number} did not start, {self._failures} times: "
                f"{self._trouble or last_line(self.log)} (log: "
                f"{self.log}); remedy: mend what the log says, see servers.python, servers.weights, servers.arguments"
            )
        self.tell(Report(number=self.number, failure=failure))


def python_of(settings: ServerSettings) -> str:
    """The Python that serves."""
    return settings.python or os.environ.get(PYTHON_VARIABLE) or sys.executable


def end(process: "subprocess.Popen[bytes]") -> None:
    """Ends the reaper and with it the server; what should be left of their group is killed."""
    process.terminate()
    try:
        process.wait(GRACE_S + 5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.stdin:
        process.stdin.close()


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""The machine's own address is never reached through a proxy."""


def is_healthy(url: str) -> bool:
    """True when the server says so."""
    try:
        with _DIRECT.open(f"{url}/health", timeout=5.0) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def last_line(log: Path) -> str:
    """The last line that says something, without secrets."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    except OSError as error:
        return str(error)
    return redact(next((line for line in reversed(lines) if line), "no output"))[:300]
