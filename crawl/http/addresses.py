"""Which addresses may be fetched: public http and https; the connection goes to the address that was vetted."""

import asyncio
import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from urllib.parse import quote_from_bytes, urljoin

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.helpers import is_ip_address
from yarl import URL

from moodarchive.errors import RowError

_PROXY_VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_SCHEME = re.compile("[A-Za-z][A-Za-z0-9+.-]*:")
_BEFORE_PATH = re.compile(r"^[^:/?#]+://[^/?#]*")
_DROPPED = re.compile("[\t\r\n]")
"""What browsers leave out of an address, and HTTP could not carry."""
_NOT_IN_URL = re.compile(r"""[^A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%|-]+""")


def vet_url(url: str, loopback_hosts: Mapping[str, str]) -> URL:
    """The fetchable URL; RowError ``bad_url``, ``forbidden_scheme`` or ``forbidden_address``.

    What is valid in its path and query goes out byte for byte, because sites sign it; the rest is escaped. A host
    written as a number is judged here, because no resolver is asked for it.
    """
    try:
        parsed = URL(url.strip())
    except ValueError as error:
        raise RowError("bad_url", f"{url!r}: {error}") from None
    if parsed.scheme not in ("http", "https"):
        raise RowError("forbidden_scheme", f"{url!r}: only http and https are fetched")
    host = parsed.raw_host
    if not host:
        raise RowError("bad_url", f"{url!r} names no host")
    if not is_ip_address(host) and not _is_possible(host):
        raise RowError("bad_url", f"{url!r}: no host can have this name")
    if host not in loopback_hosts and is_ip_address(host):
        refuse_unless_public(host)
    path, mark, query = _BEFORE_PATH.sub("", _DROPPED.sub("", url.strip()), count=1).partition("#")[0].partition("?")
    try:
        return URL.build(
            scheme=parsed.scheme,
            authority=parsed.raw_authority,
            path=_escape(path) or "/",
            query_string=_escape(query) if mark else "",
            encoded=True,
        )
    except ValueError as error:
        raise RowError("bad_url", f"{url!r}: {error}") from None


def join_location(url: str, location: str) -> str:
    """The address to which a Location leads, as it is written where it is a whole address."""
    location = location.strip()
    return location if _SCHEME.match(location) else urljoin(url, location)


def explain_unused_proxy() -> str:
    """A sentence for failures to connect where the environment names a proxy; empty where it does not.

    A proxy would resolve names itself, so that nobody could vet the address to which a hostile redirect leads.
    """
    names = [name for name in _PROXY_VARIABLES if os.environ.get(name) or os.environ.get(name.lower())]
    if not names:
        return ""
    return f"; {' and '.join(names)} named a proxy, which is not used: the crawl needs to reach the sites directly"


def _escape(part: str) -> str:
    """Escapes what may not stand in a path or query (RFC 3986, and what browsers escape); every other byte stays.

    Bytes that are not UTF-8, as a Location may hold them, come as surrogates and go out as their escapes.
    """
    return _NOT_IN_URL.sub(lambda match: quote_from_bytes(match[0].encode("utf-8", "surrogateescape"), ""), part)


def refuse_unless_public(address: str) -> None:
    """RowError ``forbidden_address`` for a loopback, private, link-local, multicast or reserved address."""
    try:
        ip = ipaddress.ip_address(address.split("%", maxsplit=1)[0])
    except ValueError:  # the system would still read 2130706433 and 127.1 as addresses
        raise RowError("forbidden_address", f"{address} is an address in a spelling of its own") from None
    mapped = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    if not ip.is_global or ip.is_multicast or (mapped is not None and not mapped.is_global):
        raise RowError("forbidden_address", f"{address} is not a public address")


def _is_possible(host: str) -> bool:
    """False for an empty label, one over 63 bytes, or a name over 253 (RFC 1035): nobody needs to be asked for it."""
    labels = host.removesuffix(".").split(".")
    return len(host) <= 254 and all(0 < len(label) <= 63 for label in labels)


class VettedResolver(AbstractResolver):
    """Resolves once, refuses a host with any address that is not public, and hands the connector exactly these."""

    def __init__(self, loopback_hosts: Mapping[str, str]) -> None:
        self._loopback = dict(loopback_hosts)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host in self._loopback:
            address, _, mapped = self._loopback[host].rpartition(":")
            return [_result(host, address, int(mapped), socket.AF_INET)]
        loop = asyncio.get_running_loop()
        results = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=socket.AF_UNSPEC)
        for *_, socket_address in results:
            refuse_unless_public(str(socket_address[0]))
        return [_result(host, str(socket_address[0]), port, kind) for kind, *_, socket_address in results]

    async def close(self) -> None:
        """Nothing is held."""


def _result(host: str, address: str, port: int, family: socket.AddressFamily) -> ResolveResult:
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)
