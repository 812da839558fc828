"""A caption server that refuses everything ends the run with its words; the mended server completes the archive."""

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.pipelines.running import moodarchive

pytestmark = [pytest.mark.slow, pytest.mark.alone]
WORDS = "this model takes no pictures"


class Refusing(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = f'{{"error": {{"message": "{WORDS}", "type": "invalid_request_error"}}}}'.encode()
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:
        return


@pytest.fixture
def refusing() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_nothing_is_sealed_and_the_same_command_with_a_sound_server_completes_it(tmp_path: Path, refusing: str) -> None:
    root = tmp_path / "archive"
    command = ("demo", "--root", str(root), "--images", "24", "--no-train")
    is_idle, began = os.getloadavg()[0] < (os.cpu_count() or 1), time.monotonic()
    refused = moodarchive(*command, "--captions", refusing)
    assert time.monotonic() - began < 60 or not is_idle, "a minute, unless others hold the machine"
    assert refused.returncode == 1
    assert WORDS in refused.stderr and "remedy" in refused.stderr and "Traceback" not in refused.stderr
    assert not (root / "manifest.json").exists() and not list((root / "captions").glob("*.json"))
    mended = moodarchive(*command)
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert (root / "manifest.json").exists()
