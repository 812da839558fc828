"""A real vLLM server on CPU that serves the tiny LLaVA-NeXT of random weights."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

VARIABLE = "MOODARCHIVE_VLLM_PYTHON"
MODEL = "tiny-llava-next-of-random-weights"
START_S = 240.0
_HERE = Path(__file__).parent
_LIMITS = (
    "--dtype", "bfloat16", "--max-model-len", "4096", "--enforce-eager", "--max-num-seqs", "16",
    "--limit-mm-per-prompt", '{"image":1}',
    # a seeded request whose prompt is cut into chunks ends the CPU server: its generators have no offset
    "--no-enable-chunked-prefill", "--max-num-batched-tokens", "8192",
)  # fmt: skip


def vllm_python() -> str | None:
    """The Python that has vLLM: this one, or the one that MOODARCHIVE_VLLM_PYTHON names."""
    return os.environ.get(VARIABLE) or (sys.executable if importlib.util.find_spec("vllm") else None)


@contextmanager
def serving_tiny_llava(folder: Path) -> Iterator[str]:
    """Makes the model under ``folder`` and serves it until the block ends; gives the URL."""
    python, model = vllm_python(), folder / "model"
    assert python is not None
    environment = {
        **os.environ,
        "PYTHONPATH": str(_HERE / "vllm_site"),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "OMP_NUM_THREADS": "2",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
    subprocess.run([python, str(_HERE / "tiny_llava.py"), str(model)], env=environment, check=True)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--served-model-name", MODEL, "--host", "127.0.0.1", "--port", str(port), *_LIMITS]
    with (folder / "vllm.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        _await_health(process, f"http://127.0.0.1:{port}/health", folder / "vllm.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its engine is a child in the same session
        process.wait()


def _await_health(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.5)
    raise AssertionError("vLLM did not start:\n" + log.read_text(errors="replace")[-3000:])
