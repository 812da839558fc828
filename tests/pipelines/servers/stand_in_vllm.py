"""Stands in for vLLM's program: the same command line, the demo's caption server behind it, and an engine beside it.

It wants the key of VLLM_API_KEY, and like vLLM it has a child process, here one that outlives its parent unless
somebody ends it. Every request that it has begun or finished is one line of the file that STAND_IN_EVENTS names.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from pipelines.demo.captioner import server as caption_server

ENGINE = "import time; time.sleep(600)  # stand-in engine of {marker}"


def wrapper(folder: Path, marker: str = "a test") -> Path:
    """An executable that takes the place of the Python that has vLLM."""
    path = folder / "python-with-vllm"
    house = Path(__file__).parent.parent.parent.parent
    lines = (
        "#!/bin/sh",
        f"export PYTHONPATH={house} STAND_IN_EVENTS={folder / 'events'} STAND_IN_MARKER='{marker}'",
        '[ "$1" = -c ] && exit 0  # the question whether it has vLLM',
        f'exec {sys.executable} -m tests.pipelines.servers.stand_in_vllm "$@"',
    )
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)
    return path


@web.middleware
async def guarded(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuses a wrong key, and notes what comes and what is answered."""
    if request.path == "/health":
        return await handler(request)
    if request.headers.get("Authorization") != f"Bearer {os.environ['VLLM_API_KEY']}":
        return web.Response(status=401, text="Unauthorized")
    _note("came", request.url.host)
    answer = await handler(request)
    _note("answered", request.url.host)
    return answer


def _note(event: str, host: str | None) -> None:
    with open(os.environ["STAND_IN_EVENTS"], "a", encoding="utf-8") as events:
        events.write(json.dumps({"event": event, "host": host, "pid": os.getpid(), "at": time.time()}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--model", "--served-model-name", "--host"):
        parser.add_argument(name, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--max-num-seqs", type=int, required=True)
    module, *rest = sys.argv[2:]
    assert (sys.argv[1], module) == ("-m", "vllm.entrypoints.openai.api_server")
    arguments, _ = parser.parse_known_args(rest)
    if arguments.model == "no-such-weights":
        sys.exit("OSError: no-such-weights is no folder and no model of the hub")
    engine = ENGINE.format(marker=os.environ["STAND_IN_MARKER"])
    subprocess.Popen([sys.executable, "-c", engine], start_new_session=True)
    caption_server.MODEL = arguments.served_model_name
    app = caption_server.CaptionServer().app()
    app.middlewares.append(guarded)
    web.run_app(app, host=arguments.host, port=arguments.port, access_log=None, print=None)


if __name__ == "__main__":
    main()
