"""A loopback server that speaks as much of the hub's interface as a download needs, or keeps silent."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote

COMMIT = "a" * 40


@contextmanager
def hub_of(
    folder: Path, repository: str, others: Mapping[str, Path] = MappingProxyType({})
) -> Iterator[tuple[str, list[str]]]:
    """(address, paths asked for) of a hub whose models are ``folder`` and the ``others`` by their names."""
    asked: list[str] = []
    models = {repository: folder, **others}

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(self.path.split("?")[0])
            asked.append(path)
            bare = path.removeprefix("/api/models").removeprefix("/")
            repository = next((name for name in models if f"{bare}/".startswith(f"{name}/")), None)
            if repository is None:
                return self._none()
            folder = models[repository]
            if path.startswith("/api/models/"):
                found = sorted(file for file in folder.rglob("*") if file.is_file())
                names = [str(file.relative_to(folder)) for file in found]
                tree = [
                    {"type": "file", "path": name, "oid": "0" * 40, "size": file.stat().st_size}
                    for name, file in zip(names, found, strict=True)
                ]
                info = {"id": repository, "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
                return self._answer(json.dumps(tree if "/tree/" in path else info).encode(), "application/json")
            name = path.removeprefix(f"/{repository}/resolve/")
            file = folder / name.removeprefix(f"{COMMIT}/").removeprefix("main/")
            return self._answer(file.read_bytes(), "application/octet-stream") if file.is_file() else self._none()

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def _none(self) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
