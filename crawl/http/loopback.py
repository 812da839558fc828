"""The only way to a loopback address: a named host, for the demo and tests; URLs keep the name."""

from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter


class LoopbackAdapter(HTTPAdapter):
    """Connects a host to a loopback ``address:port``."""

    def __init__(self, address: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._address = address

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        assert request.url is not None
        split = urlsplit(request.url)
        request.headers["Host"] = split.netloc
        request.url = urlunsplit(split._replace(netloc=self._address))
        return super().send(request, *args, **kwargs)
