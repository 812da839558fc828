"""Which addresses may be fetched: public http and https; the connection goes to the address that was vetted."""

import asyncio
import ipaddress
import socket
from collections.abc import Mapping

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.helpers import is_ip_address
from yarl import URL

from moodarchive.errors import RowError


def vet_url(url: str, loopback_hosts: Mapping[str, str]) -> URL:
    """The fetchable URL as the HTTP client reads it; RowError ``bad_url``, ``forbidden_scheme``, ``forbidden_address``.

    A host written as a number is judged here, because no resolver is asked for it.
    """
    try:
        parsed = URL(url)
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
    return parsed


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
