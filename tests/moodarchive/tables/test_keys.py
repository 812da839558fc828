"""Keys and digests never change; addresses that show one image compare equal, others do not."""

import re
from random import Random

import pytest

from moodarchive.tables.keys import canonical_json, digest, image_key, normalise_url


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
        ("http://a.example/Caf%C3%A9.jpg", "http://a.example/Café.jpg"),
        ("http://a.example/%c3%a9.jpg", "http://a.example/%C3%A9.jpg"),
        ("http://a.example/a%28b%29%27.jpg", "http://a.example/a(b)'.jpg"),
        ("http://a.example/a%20b.jpg", "http://a.example/a b.jpg"),
        ("http://a.example/%7Euser/%41.jpg", "http://a.example/~user/A.jpg"),
        ("http://a.example/x?q=%C3%A9%27", "http://a.example/x?q=é'"),
        ("http://a.example/x?q=a:b@c", "http://a.example/x?q=a%3Ab%40c"),
        ("http://a.example/x?a=1&amp;b=2", "http://a.example/x?a=1&b=2"),
        ("http://a.example/x?a=1&amp;amp;b=2", "http://a.example/x?a=1&#38;b=2"),
        ("http://a.example./x", "http://a.example/x"),
        ("http://Bücher.example/x", "http://xn--bcher-kva.example/x"),
        ("http://BÜCHER。example/x", "http://xn--bcher-kva.example./x"),
        ("http://a.example/b/../c/./d", "http://a.example/c/d"),
        ("http://a.example/%2e%2E/x", "http://a.example/x"),
        ("http://a.example/100%", "http://a.example/100%25"),
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
        ("http://a.example/x%2Fy.jpg", "http://a.example/x/y.jpg"),
        ("http://a.example/x%3Fy", "http://a.example/x?y"),
        ("http://a.example/x%23y", "http://a.example/x#y"),
        ("http://a.example/a%252Fb.jpg", "http://a.example/a%2Fb.jpg"),
        ("http://a.example/a%2520b.jpg", "http://a.example/a%20b.jpg"),
        ("http://www.a.example/x", "http://a.example/x"),
        ("http://a.example/x/", "http://a.example/x"),
        ("http://a.example//x", "http://a.example/x"),
        ("http://a.example/Cafe%CC%81.jpg", "http://a.example/Caf%C3%A9.jpg"),
        ("http://a.example/%FC.jpg", "http://a.example/%C3%BC.jpg"),
        ("http://a.example/x?q=a%2Bb", "http://a.example/x?q=a+b"),
        ("http://a.example/x?a%3Db", "http://a.example/x?a=b"),
        ("http://[::1]:8/x", "http://[::1:8]/x"),
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
    for url in ("HTTP://A.example:8080/x?b=%FF&a=ü#f", "http://Ü.example./a/../%2e/%2F%zz?=1&b&a=%", "http://[::1]/x"):
        once = normalise_url(url)
        assert normalise_url(f"http:{once}") == once


Address = tuple[str, tuple[bytes, ...], tuple[tuple[bytes, bytes], ...]]


def _draw(random: Random) -> Address:
    """An address as what it says: host, segments of its path and pairs of its query, each in bytes."""
    texts = (
        b"a",
        b"A",
        b"a b",
        b"a/b",
        "é".encode(),
        b"\xfc",
        b"%2F",
        b"a&b=c",
        b"a+b",
        b"'(~)",
        b"a.b",
        b"100%",
        b";,:@",
    )
    path = tuple(random.choice(texts) for _ in range(random.randrange(1, 4)))
    pairs = {random.choice(texts): random.choice((*texts, b"")) for _ in range(random.randrange(3))}
    return random.choice(("a.example", "bücher.example")), path, tuple(sorted(pairs.items()))


def _spell(random: Random, address: Address) -> str:
    """One of the many ways to write it."""
    host, path, pairs = address
    host = random.choice((host, host.upper(), host.encode("idna").decode(), f"{host}."))
    host += random.choice(("", ":80"))
    names = [_escape(random, segment, "/?#%") for segment in path]
    if random.random() < 0.3:
        names.insert(random.randrange(len(names)), random.choice((".", "%2E", "x/..", "x/%2e.")))
    shuffled = random.sample(pairs, len(pairs))
    query = [f"{_escape(random, name, '&=+#%')}={_escape(random, value, '&=+#%')}" for name, value in shuffled]
    if random.random() < 0.3:
        query.append("utm_source=feed")
    mark = random.choice(("&", "&amp;"))
    tail = (f"?{mark.join(query)}" if query else random.choice(("", "?"))) + random.choice(("", "#top"))
    return random.choice(("", " ")) + f"http://{host}/{'/'.join(names)}{tail}"


def _escape(random: Random, text: bytes, kept: str) -> str:
    """Escapes what must be, and now and then what need not be; in a query a blank may be a plus."""
    try:
        letters: list[bytes | str] = list(text.decode())
    except UnicodeDecodeError:
        letters = [bytes([byte]) for byte in text]
    written = ""
    for letter in letters:
        must = isinstance(letter, bytes) or letter in kept
        if letter == " " and "+" in kept and random.random() < 0.3:
            written += "+"
        elif must or random.random() < 0.3:
            data = letter if isinstance(letter, bytes) else letter.encode()
            written += "".join(random.choice((f"%{byte:02x}", f"%{byte:02X}")) for byte in data)
        else:
            written += str(letter)
    return written


def test_addresses_are_equal_when_they_say_the_same_and_only_then() -> None:
    random = Random(3)
    known: dict[str, Address] = {}
    for _ in range(4000):
        address = _draw(random)
        forms = {normalise_url(_spell(random, address)) for _ in range(3)}
        assert len(forms) == 1, (address, forms)
        (form,) = forms
        assert known.setdefault(form, address) == address
    assert len(known) > 1000


def test_one_value_has_one_text() -> None:
    assert canonical_json({"b": 1, "a": {"d": "é", "c": [1, 2]}}) == '{"a":{"c":[1,2],"d":"é"},"b":1}'
