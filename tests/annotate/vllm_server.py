"""A real vLLM server on CPU that serves the tiny LLaVA-NeXT of random weights."""

import importlib.util
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipelines.servers.settings import ServerSettings
from pipelines.servers.supervisor import PYTHON_VARIABLE, Report, ServerSupervisor

MODEL = "tiny-llava-next-of-random-weights"
IN_FLIGHT = 16
START_S = 240.0
_HERE = Path(__file__).parent
_ARGUMENTS = (
    "--dtype=bfloat16", "--max-model-len=4096", "--enforce-eager", '--limit-mm-per-prompt={"image":1}',
    # a seeded request whose prompt is cut into chunks ends the CPU server: its generators have no offset
    "--no-enable-chunked-prefill", "--max-num-batched-tokens=8192",
)  # fmt: skip
_ENVIRONMENT = {
    "PYTHONPATH": str(_HERE / "vllm_site"),
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "OMP_NUM_THREADS": "2",
    "HF_HUB_OFFLINE": "1",
}


def vllm_python() -> str | None:
    """The Python that has vLLM: this one, or the one that MOODARCHIVE_VLLM_PYTHON names."""
    return os.environ.get(PYTHON_VARIABLE) or (sys.executable if importlib.util.find_spec("vllm") else None)


def tiny_llava_settings(folder: Path) -> ServerSettings:
    """Makes the model under ``folder``, and a Python beside it that brings what vLLM on CPU needs."""
    python, model = vllm_python(), folder / "model"
    assert python is not None
    wrapped = folder / "python-with-vllm"
    exports = " ".join(f"{name}={value}" for name, value in _ENVIRONMENT.items())
    wrapped.write_text(f'#!/bin/sh\nexport {exports}\nexec {python} "$@"\n')
    wrapped.chmod(0o755)
    subprocess.run([str(wrapped), str(_HERE / "tiny_llava.py"), str(model)], check=True)
    return ServerSettings(
        count=1, gpus=0.0, python=str(wrapped), weights=str(model), arguments=_ARGUMENTS, start_timeout_s=START_S
    )


@contextmanager
def serving_tiny_llava(folder: Path) -> Iterator[str]:
    """Makes the model under ``folder`` and serves it until the block ends; gives the URL."""
    reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
    log = folder / "vllm.log"
    supervisor = ServerSupervisor(
        number=0,
        settings=tiny_llava_settings(folder),
        model=MODEL,
        in_flight=IN_FLIGHT,
        host="127.0.0.1",
        key="",
        log=log,
        tell=reports.put,
    )
    thread = threading.Thread(target=supervisor.keep)
    thread.start()
    try:
        yield _served(reports, log)
    finally:
        supervisor.stop()
        thread.join()


def _served(reports: "queue.SimpleQueue[Report]", log: Path) -> str:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with suppress(queue.Empty):
            report = reports.get(timeout=1.0)
            if report.failure:
                break
            if report.url:
                return report.url
    raise AssertionError("vLLM did not start:\n" + log.read_text(errors="replace")[-3000:])
