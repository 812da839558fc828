"""A loopback server in a process of its own, that never outlives the process that started it."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web

from moodarchive.errors import ServiceError

START_S = 60.0


def serve_until_orphaned(app: web.Application, announce: str, port: int = 0) -> None:
    """Serves on loopback, writes ``address:port`` to the announce file, ends when the parent does or on SIGTERM."""
    asyncio.run(_serve(app, announce, port, os.getppid()))


async def _serve(app: web.Application, announce: str, port: int, parent: int) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    assert site._server is not None
    bound = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    aside = Path(f"{announce}.draft")
    aside.write_text(f"127.0.0.1:{bound}")
    aside.rename(announce)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    while os.getppid() == parent and not stopping.is_set():
        try:
            await asyncio.wait_for(stopping.wait(), 0.5)
        except TimeoutError:
            continue
    await runner.cleanup()


@contextmanager
def started(module: str, arguments: Sequence[str]) -> Iterator[str]:
    """Starts ``python -m module`` and gives its ``address:port``; ServiceError with its last words if it dies."""
    with tempfile.TemporaryDirectory(prefix="moodarchive-demo-") as folder:
        announce, log = Path(folder) / "address", Path(folder) / "log"
        command = [sys.executable, "-m", module, *arguments, "--announce", str(announce)]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)  # noqa: S603
        try:
            yield _awaited(process, announce, log, module)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _awaited(process: "subprocess.Popen[bytes]", announce: Path, log: Path, module: str) -> str:
    deadline = time.monotonic() + START_S
    while not announce.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            words = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"]
            raise ServiceError(f"{module} did not start: {words[0]}")
        time.sleep(0.05)
    return announce.read_text()
