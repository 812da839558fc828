"""Only public addresses are fetched, however a hostile page spells another."""

import asyncio

import pytest

from crawl.http.addresses import VettedResolver, refuse_unless_public, vet_url
from moodarchive.errors import RowError


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
