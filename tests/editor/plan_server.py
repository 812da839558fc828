"""A chat server on loopback that answers plans of edits as it is told to, and keeps what it was asked."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GOOD = {
    "target_object": "the grey sky",
    "boxes": [[0.0, 0.0, 1.0, 0.5]],
    "prompt": "A lake under a golden morning sky that fills whoever sees it with joy.",
}
LONG: dict[str, Any] = {
    "target_object": "the grey sky",
    "boxes": [[0.0, 0.0, 1.0, 0.5]],
    "description": "A lake lies under a golden morning sky that fills whoever sees it with joy. Mist is gone",
    "stimuli": [
        "Bright golden clouds glow above the far hills and throw warm light on the calm water below them.",
        "A flock of small white birds rises from the reeds at the left into the wide clear sky.",
        "Mist is gone. Yellow flowers shine along the near shore, each with a drop of dew.",
    ],
}
"""An answer of the present form; GOOD is one of the form before."""


@dataclass
class PlanServer:
    """Gives its answers in order, then the last again; an int is an HTTP status, a dict an answer, a str raw text."""

    answers: Sequence[dict[str, Any] | str | int] = (GOOD,)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def next(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.bodies.append(body)
        said = self.answers[min(len(self.bodies), len(self.answers)) - 1]
        if isinstance(said, int):
            return said, {"error": "no"}
        text, finish = (said, "stop") if isinstance(said, str) else (json.dumps(said), "stop")
        if text == "CUT":
            text, finish = '{"target_object": "the', "length"
        return 200, {"model": "m", "choices": [{"message": {"content": text}, "finish_reason": finish}], "usage": {}}


@contextmanager
def plan_server(*answers: dict[str, Any] | str | int, port: int = 0) -> Iterator[PlanServer]:
    """The server until the block ends, on any port that is free or on this one."""
    told = PlanServer(answers or (GOOD,))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = told.next(body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
