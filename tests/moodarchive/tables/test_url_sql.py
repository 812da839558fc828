"""normalised(url) in SQL gives what normalise_url gives, for plain addresses and for mad ones."""

from random import Random

import duckdb
import pytest

from moodarchive.tables.keys import normalise_url
from moodarchive.tables.sql import define_normalised

SPELLINGS = [
    "http://a.example", "https://a.example/", "https://A.Example/X.jpg", "HTTP://a.example/x", "http://a.example:80/x",
    "http://a.example:8080/x", "http://a.example/x#top", "http://a.example/x?", "http://a.example/x?b=2&a=1",
    "http://a.example/x?a-b=1&a=1", "http://a.example/x?a=2&a=1", "http://a.example/x?a", "http://a.example/x?&&a&",
    "http://a.example/x?utm_source=f", "http://a.example/x?utm_source=f&w=1080", "https://a.example/p?ixid=M3w&w=1",
    "http://a.example/x?a==b", "http://a.example/x?a=%20b", "http://a.example/x?a=b+c", "http://a.example/x?a=b/c",
    "http://a.example?b=1", "http://u:p@a.example/x", "http://[::1/x", "http://ü.example/ä", "http://a.example/%FF",
    "http://a.example/x?q=a?b", "http://a.example/x?%FF=1", " http://a.example/x ", "http://a.example/x\n", "", "none",
    "http://a.example:99999/x", "//a.example/x", "ftp://a.example/x", "folder:a%20b.jpg", "http://a.example//x//",
    "http://a.example/x?gclidx=1", "http://a.example/x?a=1&a-=1&A=1", "http://a.example/a=b,c@d:e!", "http:///x",
    "http://a.example/%c3%A9%2F%25%20%61", "http://a.example./x", "http://xn--tda.example/x", "http://a.example/a/../b/.",
    "http://a.example/...", "http://a.example/x?a=1&amp;b=2", "http://a.example/(a)'b",
    "http://a_b.example/x", "http://[::1]:8/x", "http://a.example/a&amp;b", "http://ＡＢ．example/x", "http://a..b/x",
    "http://a.example/x?=1", "http://a.example/x?a=~._-", "http://a.example/\x00?a", "http://a.example/x;p?q=1",
]  # fmt: skip


def _in_sql(urls: list[str]) -> list[str]:
    with duckdb.connect() as connection:
        define_normalised(connection)
        rows = connection.execute("SELECT normalised(url) FROM unnest($urls) AS t(url)", {"urls": urls}).fetchall()
        connection.remove_function("normalised_in_python")
    return [row[0] for row in rows]


@pytest.mark.parametrize("url", SPELLINGS)
def test_sql_and_python_agree(url: str) -> None:
    assert _in_sql([url]) == [normalise_url(url)]


def test_sql_and_python_agree_on_random_addresses() -> None:
    random, alphabet = (
        Random(7),
        [*"aB1.-_~=&?/%+:;#@! ü'()*,$", "%2F", "%c3", "%C3", "%61", "%20", "/..", "/./", "&amp;", "\\"],
    )
    tails = ["".join(random.choices(alphabet, k=random.randrange(14))) for _ in range(20_000)]
    heads = [
        "http://a.example/x?",
        "https://B.example/",
        "https://B.example./",
        "http://a.example",
        "http://ü.example/",
        "",
    ]
    urls = [random.choice(heads) + tail for tail in tails]
    assert _in_sql(urls) == [normalise_url(url) for url in urls]
