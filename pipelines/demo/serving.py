"""A loopback server in a process of its own, that never outlives the process that started it."""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from aiohttp import web

from moodarchive.errors import ServiceError
from moodarchive.running.neutral_folder import neutral_folder

START_S = 600.0
"""A server that dies is noticed at once; one that lives may be slow on a busy machine."""


def serving_arguments(description: str) -> argparse.ArgumentParser:
    """The arguments of every server here; a server adds its own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--announce", type=Path, help="file that gets the address once the server listens")
    return parser


def serve_until_orphaned(app: web.Application, arguments: argparse.Namespace) -> None:
    """Serves until its parent ends or SIGTERM or SIGINT comes; the address goes to the file, or is printed."""
    asyncio.run(_serve(app, arguments, os.getppid()))


async def _serve(app: web.Application, arguments: argparse.Namespace, parent: int) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, arguments.host, arguments.port).start()
    url = f"http://{arguments.host}:{runner.addresses[0][1]}"
    if arguments.announce is None:
        print(url, flush=True)
    else:
        aside = arguments.announce.with_name(f"{arguments.announce.name}.draft")
        aside.write_text(url)
        aside.rename(arguments.announce)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    while os.getppid() == parent and not stopping.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), 0.5)
    await runner.cleanup()


@contextmanager
def run_server(module: str, arguments: Sequence[str]) -> Iterator[str]:
    """Starts ``python -m module`` and gives its URL; ServiceError with its last words if it dies."""
    with neutral_folder() as folder:
        announce, log = folder / "address", folder / "log"
        command = [sys.executable, "-P", "-m", module, *arguments, "--announce", str(announce)]
        with log.open("wb") as output:
            # a group of its own: Ctrl-C must reach the run first, or its workers would record a site that is gone
            process = subprocess.Popen(  # noqa: S603
                command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, process_group=0, cwd=folder
            )
        try:
            yield _await_address(process, announce, log, module)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await_address(process: "subprocess.Popen[bytes]", announce: Path, log: Path, module: str) -> str:
    deadline = time.monotonic() + START_S
    while not announce.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            words = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"]
            raise ServiceError(f"{module} did not start: {words[0]}")
        time.sleep(0.05)
    return announce.read_text()
