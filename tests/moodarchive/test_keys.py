"""Keys and digests never change; addresses that show one image compare equal, others do not."""

import re

import pytest

from moodarchive.keys import canonical_json, digest, image_key, normalise_url


def test_keys_are_what_they_were_on_the_first_day() -> None:
    assert image_key("openverse", "c0ffee") == "714f3d1e08c97d5b"
    assert image_key("pexels", "12345") == "b1453fe6a3d4692d"
    assert digest({"b": 1, "a": ["ü", None]}) == "4cc4e0a1ad9588d9"


def test_a_key_is_16_hex_digits_and_keeps_source_and_id_apart() -> None:
    assert re.fullmatch("[0-9a-f]{16}", image_key("openverse", "ü/../x"))
    assert image_key("ab", "c") != image_key("a", "bc")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://a.example/x.jpg", "https://a.example/x.jpg"),
        ("http://A.EXAMPLE/x.jpg", "http://a.example/x.jpg"),
        ("HTTP://a.example:80/x.jpg", "https://a.example:443/x.jpg"),
        ("http://a.example/x.jpg#top", "http://a.example/x.jpg"),
        ("http://a.example", "http://a.example/"),
        ("http://a.example/x?b=2&a=1", "http://a.example/x?a=1&b=2"),
        ("http://a.example/x?utm_source=feed&ixid=7&ixlib=rb&fbclid=q&gclid=r", "http://a.example/x"),
        ("http://a.example/x?a=%20", "http://a.example/x?a=+"),
        (" http://a.example/x\n", "http://a.example/x"),
    ],
)
def test_two_spellings_of_one_address_are_equal(one: str, other: str) -> None:
    assert normalise_url(one) == normalise_url(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://a.example/x.jpg", "http://a.example/X.jpg"),
        ("http://a.example/x.jpg", "http://b.example/x.jpg"),
        ("http://a.example:8080/x", "http://a.example/x"),
        ("http://a.example:443/x", "http://a.example/x"),
        ("http://a.example/x?id=1", "http://a.example/x?id=2"),
        ("http://a.example/x?id=", "http://a.example/x"),
        ("http://a.example/x?a=%FE", "http://a.example/x?a=%FF"),
        ("http://a.example/x?a=1&a=2", "http://a.example/x?a=2"),
        ("http://a.example/x?a=b%26c=d", "http://a.example/x?a=b&c=d"),
    ],
)
def test_two_addresses_are_not_taken_for_one(one: str, other: str) -> None:
    assert normalise_url(one) != normalise_url(other)


@pytest.mark.parametrize("url", ["http://a.example:99999/x", "http://[::1/x", "http://a.example:port/x", "", "no url"])
def test_what_is_no_address_still_has_a_normal_form(url: str) -> None:
    # one such URL of a site must not end the merge of a whole round
    assert normalise_url(url) == normalise_url(f" {url} ")
    assert normalise_url(url) != normalise_url("http://a.example/x")


def test_normalising_twice_changes_nothing_more() -> None:
    once = normalise_url("HTTP://A.example:8080/x?b=%FF&a=ü#f")
    assert normalise_url(f"http:{once}") == once


def test_one_value_has_one_text() -> None:
    assert canonical_json({"b": 1, "a": {"d": "é", "c": [1, 2]}}) == '{"a":{"c":[1,2],"d":"é"},"b":1}'
