"""An S3 server on loopback (moto's) in a process of its own: counts requests, and breaks uploads on demand."""

import json
import os
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from pipelines.demo.serving import run_server, serving_arguments

BUCKET = "archives"
KEY_ID, SECRET = "key-id-of-the-tests", "a-secret-that-must-never-be-written"
CONTROL = "/_control"
App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True)
class ObjectStore:
    """A running server."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to reach the server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",  # s3fs tries five times on its own
        }

    def break_uploads(self, path: str, *, after: int = 0, refused: bool = False) -> None:
        """From the upload number ``after`` of a matching path on, the connection is cut halfway, or storage is full."""
        self._control({"path": path, "after": after, "refused": refused})

    def mend(self) -> None:
        """Uploads work again."""
        self._control({"path": ""})

    def slow_down(self, seconds: float) -> None:
        """Every request takes so much longer, as over a network."""
        self._control({"path": "", "delay": seconds})

    def requests(self) -> Counter[str]:
        """Requests by method since the last call."""
        with urlopen(f"{self.url}{CONTROL}") as answer:
            return Counter(json.load(answer))

    def _control(self, fault: dict[str, Any]) -> None:
        urlopen(Request(f"{self.url}{CONTROL}", json.dumps(fault).encode(), method="POST")).close()


@pytest.fixture(scope="module", name="server")
def object_store() -> Iterator[ObjectStore]:
    """A server with an empty bucket, which this process's environment leads to."""
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()  # those of another module lead to its server, which is gone
    with run_server("tests.object_store", []) as url, pytest.MonkeyPatch.context() as environment:
        running = ObjectStore(url)
        for name, value in running.environment.items():
            environment.setenv(name, value)
        yield running


@dataclass
class _Faulty:
    """The middleware between the socket and the S3 server."""

    app: App
    seen: Counter[str] = field(default_factory=Counter)
    fault: dict[str, Any] = field(default_factory=lambda: {"path": ""})
    conditional: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path == CONTROL:
            return self._controlled(environ, start_response)
        self.seen[method if "list-type" not in environ["QUERY_STRING"] else "LIST"] += 1
        time.sleep(self.fault.get("delay", 0))
        if method == "PUT" and self.fault["path"] and re.search(self.fault["path"], path):
            self.fault["after"] -= 1
            if self.fault["after"] < 0:
                return self._broken(environ, start_response)
        if environ.get("HTTP_IF_NONE_MATCH"):
            with self.conditional:  # moto looks first and writes then; a real store does both at once
                return list(self.app(environ, start_response))
        return self.app(environ, start_response)

    def _controlled(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            self.fault = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        counted, self.seen = self.seen, Counter()
        body = json.dumps(counted).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    def _broken(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if self.fault["refused"]:
            environ["wsgi.input"].read(length)
            body = b"<Error><Code>XMinioStorageFull</Code><Message>Storage backend is full.</Message></Error>"
            start_response("507 Insufficient Storage", [("Content-Length", str(len(body)))])
            return [body]
        environ["wsgi.input"].read(length // 2)
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return []


def main() -> None:
    """Serves until the parent ends."""
    import boto3
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_request(self, *_: object) -> None:
            """Silence."""

    announce: Path = serving_arguments("S3 for tests").parse_args().announce
    server = make_server(
        "127.0.0.1", 0, _Faulty(DomainDispatcherApplication(create_backend_app)), threaded=True, request_handler=Handler
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = ObjectStore(f"http://127.0.0.1:{server.port}")
    os.environ.update(here.environment)
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    aside = announce.with_suffix(".draft")
    aside.write_text(here.url)
    aside.rename(announce)
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.5)


if __name__ == "__main__":
    main()
