"""Only public addresses are fetched, however a hostile page spells another."""

import asyncio
from collections.abc import Mapping

import pytest

from crawl.http.addresses import VettedResolver, refuse_unless_public, vet_url
from crawl.http.images import Fetcher, FetchLimits
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.rate_limits import Limit
from moodarchive.errors import RowError
from moodarchive.storage.store import Store
from tests.making import HOST, giving, serving


def _refusal(url: str) -> str:
    with pytest.raises(RowError) as caught:
        vet_url(url, {"stock.test": "127.0.0.1:1"})
    return caught.value.kind


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.0.0.1.", "127.1", "2130706433", "0177.0.0.1", "0", "0.0.0.0", "10.0.0.1", "172.16.0.1",
        "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255", "[::1]", "[::]",
        "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[2002:7f00:1::]", "[fe80::1]", "[fc00::1]", "[ff02::1]",
        "①②⑦.⓪.⓪.①", "127。0。0。1", "１２７.０.０.１", "user:password@127.0.0.1", "1.2.3", "999.1.1.1",
    ],
)  # fmt: skip
def test_numbers_that_are_no_public_address_are_refused(host: str) -> None:
    assert _refusal(f"http://{host}/x.jpg") == "forbidden_address"


@pytest.mark.parametrize("address", ["93.184.216.34", "[2606:2800:220:1::1]"])
def test_public_numbers_are_allowed(address: str) -> None:
    assert vet_url(f"https://{address}/x.jpg", {}).path == "/x.jpg"


@pytest.mark.parametrize(
    "url", ["ftp://a.example/x", "file:///etc/passwd", "data:image/png;base64,AA", "gopher://a/", "x"]
)
def test_other_schemes_are_refused(url: str) -> None:
    assert _refusal(url) == "forbidden_scheme"


@pytest.mark.parametrize("url", ["http://", "http:///x.jpg", "http://a.example:99999/", "http://[::1/x"])
def test_what_is_no_address_is_refused(url: str) -> None:
    assert _refusal(url) == "bad_url"


def test_a_loopback_host_is_allowed_by_its_name_only() -> None:
    assert vet_url("http://stock.test/x.jpg", {"stock.test": "127.0.0.1:1"}).host == "stock.test"
    assert _refusal("http://127.0.0.1:1/x.jpg") == "forbidden_address"


def test_a_name_that_resolves_to_this_machine_is_refused() -> None:
    for name in ("localhost", "0x7f.1"):
        with pytest.raises(RowError, match="is not a public address"):
            asyncio.run(VettedResolver({}).resolve(name, 80))


def test_a_loopback_host_resolves_to_its_own_address_and_port_whatever_port_is_asked() -> None:
    (found,) = asyncio.run(VettedResolver({"stock.test": "127.0.0.1:4321"}).resolve("stock.test", 22))
    assert (found["host"], found["port"]) == ("127.0.0.1", 4321)


def test_a_public_address_passes() -> None:
    refuse_unless_public("8.8.8.8")
    refuse_unless_public("2001:4860:4860::8888")


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://nosuch.invalid/a.jpg", "unknown_host"),
        ("http://-bad-.invalid/a.jpg", "unknown_host"),
        ("http://a..b/x.jpg", "bad_url"),
        ("http://.a.example/x.jpg", "bad_url"),
        (f"http://{'a' * 64}.invalid/x.jpg", "bad_url"),
        (f"http://{'ä' * 60}.invalid/x.jpg", "bad_url"),
        (f"http://{'a.' * 130}invalid/x.jpg", "bad_url"),
        ("http://a.example:99999/a.jpg", "bad_url"),
    ],
)
def test_a_host_that_is_no_more_has_a_kind_of_its_own_and_none_is_taken_for_an_opt_out(
    store: Store, url: str, kind: str
) -> None:
    async def fetch() -> None:
        limits = FetchLimits(max_bytes=1000, deadline_s=5)
        rate_limits = RateLimitClient(store=store, host_limit=Limit(500, 0.1))
        async with Fetcher(limits, "Test/1 (a@b.example)", rate_limits=rate_limits) as fetcher:
            for _ in range(2):  # what is remembered of the host has the same kind
                with pytest.raises(RowError) as caught:
                    await fetcher.fetch(url)
                assert caught.value.kind == kind

    asyncio.run(fetch())


def test_a_robots_txt_that_moved_to_a_dead_host_does_not_make_the_site_a_dead_one(store: Store) -> None:
    async def fetch(hosts: Mapping[str, str]) -> str:
        limits = FetchLimits(max_bytes=1000, deadline_s=5)
        rate_limits = RateLimitClient(store=store, host_limit=Limit(500, 0.1))
        async with Fetcher(limits, "Test/1 (a@b.example)", hosts, rate_limits=rate_limits) as fetcher:
            with pytest.raises(RowError) as caught:
                await fetcher.fetch(f"http://{HOST}/x")
            return caught.value.kind

    moved = giving(b"", 301, {"Location": "http://nosuch.invalid/robots.txt"})
    with serving({"/robots.txt": moved, "/x": giving(b"fine")}) as site:
        assert asyncio.run(fetch(site.hosts)) == "robots_unreachable"
