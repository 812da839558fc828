"""robots.txt as sites send it, each kind against RFC 9309: by the download and by the search alike."""

import asyncio
import gzip
import itertools
import zlib
from collections.abc import Mapping
from random import Random

import pyarrow as pa
import pytest

from crawl.encodings import decode_body, unpack_file
from crawl.http.images import Fetcher, FetchLimits
from crawl.http.search_client import WebClient
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.rate_limits import Limit
from crawl.politeness.robots import MAX_BYTES, Rules
from moodarchive.errors import RowError, ServiceError
from moodarchive.storage.store import Store
from tests.making import HOST, giving, serving

AGENT = "MoodArchive-test/0.1 (mailto:someone@a.example)"
ALL = b"User-agent: *\nDisallow: /\n"
PAGE = b"<!doctype html>\n<html><head><style>\nbody { color: red }\n</style></head><body>Sign in: here</body></html>"
_RAW = zlib.compressobj(wbits=-15)
RAW_DEFLATE = _RAW.compress(ALL) + _RAW.flush()
BOMB = gzip.compress(bytes(50_000_000))


def _zstd(body: bytes) -> bytes:
    return bytes(pa.compress(body, codec="zstd", asbytes=True))


def _brotli(body: bytes) -> bytes:
    return bytes(pa.compress(body, codec="brotli", asbytes=True))


def _encoded(name: str) -> dict[str, str]:
    return {"Content-Encoding": name}


DISALLOWED: Mapping[str, tuple[bytes, dict[str, str]]] = {
    "plain": (ALL, {}),
    "gzip": (gzip.compress(ALL), _encoded("gzip")),
    "x-gzip": (gzip.compress(ALL), _encoded("x-gzip")),
    "two gzip members": (gzip.compress(ALL[:14]) + gzip.compress(ALL[14:]), _encoded("gzip")),
    "deflate": (zlib.compress(ALL), _encoded("deflate")),
    "deflate without its wrapping": (RAW_DEFLATE, _encoded("deflate")),
    "br": (_brotli(ALL), _encoded("br")),
    "zstd": (_zstd(ALL), _encoded("zstd")),
    "two encodings": (gzip.compress(_brotli(ALL)), _encoded("br, GZIP")),
    "gzip and not said so": (gzip.compress(ALL), {}),
    "said to be gzip and not so": (ALL, _encoded("gzip")),
    "said to be br and not so": (ALL, _encoded("br")),
    "an unknown encoding": (ALL, _encoded("utf-8")),
    "an empty encoding": (ALL, _encoded("")),
    "a byte order mark": (b"\xef\xbb\xbf" + ALL, {}),
    "a byte order mark within": (b"# rules\n\xef\xbb\xbf" + ALL, {}),
    "utf-16": (ALL.decode().encode("utf-16"), {}),
    "carriage returns only": (ALL.replace(b"\n", b"\r"), {}),
    "a wildcard": (b"User-agent: *\nDisallow: /*.jpg$\n", {}),
    "our name in capitals": (b"User-Agent: MOODARCHIVE-TEST\nDisallow: /\n", {}),
    "our name with its version": (b"User-agent: MoodArchive-test/2.0\nDisallow: /\n", {}),
    "our name beside a permission": (b"User-agent: *\nAllow: /\nUser-agent: moodarchive-test\nDisallow: /\n", {}),
    "our name in a group of several": (b"User-agent: a\nUser-agent: moodarchive-test\nDisallow: /\n", {}),
    "two groups of ours": (
        b"User-agent: moodarchive-test\nDisallow: /x\n\nUser-agent: b\nDisallow:\n\n"
        b"User-agent: moodarchive-test\nDisallow: /a\n",
        {},
    ),
    "a sitemap within a group": (b"User-agent: *\nSitemap: /s.xml\nUser-agent: b\nDisallow: /\n", {}),
    "an unknown record within a group": (b"User-agent: *\nX-Mood: glad\nUser-agent: b\nDisallow: /\n", {}),
    "a shorter name's permission": (b"User-agent: Mood\nAllow: /\n\nUser-agent: *\nDisallow: /\n", {}),
    "comments and blanks": (b"# a\n\n  User-agent : *   # all\n\tDisallow:/ # b\n", {}),
    "no colon": (b"User-agent *\nDisallow /\n", {}),
    "an absolute address": (f"User-agent: *\nDisallow: http://{HOST}/a\n".encode(), {}),
    "no slash": (b"User-agent: *\nDisallow: a.jpg\n", {}),
    "the longest rule forbids": (b"User-agent: *\nAllow: /\nDisallow: /a.j\n", {}),
    "a query": (b"User-agent: *\nDisallow: /*?*q=\n", {}),
    "an escape": (b"User-agent: *\nDisallow: /%61.jpg\n", {}),
    "Latin-1 in a comment": (b"# caf\xe9\n" + ALL, {}),
    "rules amid a page": (b"<html><pre>\nUser-agent: *\nDisallow: /\n</pre></html>", {}),
    "two megabytes": (ALL + b"# padding\n" * 200_000, {}),
    "two megabytes in gzip": (gzip.compress(ALL + b"# padding\n" * 200_000), _encoded("gzip")),
}  # fmt: skip
UNREADABLE: Mapping[str, tuple[int, bytes, dict[str, str]]] = {
    "a page": (200, PAGE, {}),
    "json": (200, b'{"error": "not found"}', {}),
    "a picture": (200, b"\x89PNG\r\n\x1a\n" + bytes(40), {}),
    "a name within a page's tag": (200, b"<pre>User-agent: *\nDisallow: /</pre>\n", {}),
    "a name behind a NUL": (200, b"\0\0User-agent: *\nDisallow: /\n", {}),
    "a name that is none": (200, b"User-agnt: *\nDisallow: /\n", {}),
    "utf-32": (200, ALL.decode().encode("utf-32"), {}),
    "utf-16 without a mark": (200, ALL.decode().encode("utf-16-le"), {}),
    "gzip cut off": (200, gzip.compress(ALL)[:-12], _encoded("gzip")),
    "zstd cut off": (200, _zstd(ALL * 50)[:-8], _encoded("zstd")),
    "br cut off": (200, _brotli(Random(1).randbytes(4000))[:-9], _encoded("br")),
    "gzip damaged": (200, gzip.compress(ALL)[:10] + b"\xff" * 30, _encoded("gzip")),
    "a bomb of nothing": (200, BOMB, _encoded("gzip")),
    "ten encodings": (200, ALL, _encoded(", ".join(["gzip"] * 10))),
    "a part of the file": (206, ALL, {}),
    "no answer to a question": (304, b"", {}),
    "a redirect to nowhere": (302, b"", {}),
    "too many questions": (429, b"", {}),
    "a server's failure": (500, b"", {}),
    "an overloaded server": (503, b"User-agent: *\nDisallow:\n", {}),
}
ALLOWED: Mapping[str, tuple[int, bytes, dict[str, str]]] = {
    "nothing": (200, b"", {}),
    "blank lines and comments": (200, b"\n# nothing is forbidden\n\r\n", {}),
    "no content": (204, b"", {}),
    "an empty rule": (200, b"User-agent: *\nDisallow:\n", {}),
    "a sitemap only": (200, b"Sitemap: https://a.example/s.xml\n", {}),
    "not found": (404, ALL, {}),
    "not for us": (401, ALL, {}),
    "forbidden": (403, ALL, {}),
    "gone": (410, ALL, {}),
    "another bot's rule": (200, b"User-agent: otherbot\nDisallow: /\n", {}),
    "another bot's name within ours": (200, b"User-agent: archive\nDisallow: /\n", {}),
    "a name longer than ours": (200, b"User-agent: moodarchive-test-images\nDisallow: /\n", {}),
    "our permission beside all": (200, b"User-agent: *\nDisallow: /\nUser-agent: moodarchive-test\nAllow: /\n", {}),
    "a rule before any name": (200, b"Disallow: /\nUser-agent: *\nDisallow: /x\n", {}),
    "the longest rule permits": (200, b"User-agent: *\nDisallow: /\nAllow: /a.jpg\n", {}),
    "two rules of a length": (200, b"User-agent: *\nDisallow: /a\nAllow: /a\n", {}),
    "another case": (200, b"User-agent: *\nDisallow: /A.jpg\n", {}),
    "an end that is not ours": (200, b"User-agent: *\nDisallow: /*.jpg$\nDisallow: /a.jp$\nAllow: /*.jpg?q=1\n", {}),
    "an encoded slash": (200, b"User-agent: *\nDisallow: /%2Fa.jpg\n", {}),
}
PATH = "/a.jpg?q=1"


def _download(store: Store, hosts: Mapping[str, str]) -> str:
    async def fetch() -> str:
        rate_limits = RateLimitClient(store=store, host_limit=Limit(500, 0.1))
        limits = FetchLimits(max_bytes=1000, deadline_s=10)
        async with Fetcher(limits, AGENT, hosts, rate_limits=rate_limits) as fetcher:
            try:
                return (await fetcher.fetch(f"http://{HOST}{PATH}")).decode()
            except RowError as error:
                return error.kind

    return asyncio.run(fetch())


def _search(hosts: Mapping[str, str]) -> str:
    web = WebClient(user_agent=AGENT, loopback_hosts=hosts, retries=0)
    try:
        page = web.get_page(f"http://{HOST}{PATH}", {})
    except ServiceError as error:
        return "robots_disallowed" if "disallows it" in str(error) else "robots_unreachable"
    assert page is not None
    return page.html


KINDS = {
    **{name: ("robots_disallowed", (200, *answer)) for name, answer in DISALLOWED.items()},
    **{name: ("robots_unreachable", answer) for name, answer in UNREADABLE.items()},
    **{name: ("fine", answer) for name, answer in ALLOWED.items()},
}


def test_there_are_many_kinds() -> None:
    assert len(KINDS) >= 70


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_robots_txt_is_heeded_by_download_and_search(store: Store, name: str) -> None:
    right, (status, body, headers) = KINDS[name]
    pattern = b"/*.jpg$" in body and right == "robots_disallowed"
    robots = giving(body.replace(b"$", b"?q=1$") if pattern else body, status, headers)
    with serving({"/robots.txt": robots, "/a.jpg": giving(b"fine")}) as site:
        assert (_download(store, site.hosts), _search(site.hosts)) == (right, right)
        asked = [path for path in site.paths() if path != "/robots.txt"]
    assert len(asked) == (2 if right == "fine" else 0)


def test_rules_past_the_limit_are_not_read_and_no_line_is_cut_into_a_permission() -> None:
    head = b"User-agent: *\nDisallow: /a\n"
    filling = b"#" * (MAX_BYTES - len(head) - len(b"\nAllow: /a")) + b"\n"
    body = head + filling + b"Allow: /a/far/away/and/long/enough\n"
    assert body[:MAX_BYTES].endswith(b"Allow: /a") or body[:MAX_BYTES].endswith(b"Allow: /a/")
    rules = Rules.of(200, body, [], AGENT)
    with pytest.raises(RowError, match="disallows"):
        rules.require_allowed(f"http://{HOST}/a")


@pytest.mark.parametrize(
    "line", ["Sitemap: http://stock.test/s.xml", "\ufeffSitemap: /s.xml", "sitemap : /s.xml # all"]
)
def test_sitemaps_are_found_behind_a_mark_and_by_their_path(line: str) -> None:
    with serving({"/robots.txt": giving(line.encode())}) as site:
        assert WebClient(user_agent=AGENT, loopback_hosts=site.hosts).sitemaps(f"http://{HOST}") == [
            "http://stock.test/s.xml"
        ]


def test_no_order_of_lines_turns_a_rule_for_us_into_one_for_others() -> None:
    """Against a plain reading of RFC 9309, 2.2.1: groups are runs of names followed by rules; ours are joined."""
    random = Random(5)
    lines = ["User-agent: moodarchive-test", "User-agent: *", "User-agent: b", "Disallow: /a", "Allow: /a",
             "Disallow: /", "Sitemap: /s", "Mood: glad", "", "# note", "Crawl-delay: 2"]  # fmt: skip
    for _ in range(2000):
        chosen = random.choices(lines, k=random.randrange(1, 12))
        rules = Rules.of(200, "\n".join(chosen).encode(), [], AGENT)
        try:
            rules.require_allowed(f"http://{HOST}/a.jpg")
            allowed = True
        except RowError as error:
            allowed = False
            if error.kind == "robots_unreachable":
                assert _may_hide_a_name(chosen)
                continue
        assert allowed == _allowed_by_the_rfc(chosen), chosen


def _may_hide_a_name(lines: list[str]) -> bool:
    """No line is a record, or one that is none stands before a rule of no group."""
    until_named = list(itertools.takewhile(lambda line: not line.startswith("User-agent"), lines))
    behind = until_named[until_named.index("Mood: glad") :] if "Mood: glad" in until_named else []
    has_rule = any(line.startswith(("Disallow", "Allow")) for line in behind)
    return has_rule or ("Mood: glad" in lines and set(lines) <= {"Mood: glad", "", "# note"})


def _allowed_by_the_rfc(lines: list[str]) -> bool:
    records = [line for line in lines if line.split(":")[0] in ("User-agent", "Disallow", "Allow")]
    rules: dict[str, list[str]] = {}
    names: list[str] = []
    for before, line in zip(["", *records], records, strict=False):
        if line.startswith("User-agent"):
            names = [*names, line.split()[1]] if before.startswith("User-agent") else [line.split()[1]]
            rules.setdefault(names[-1], [])
        else:
            for name in set(names):
                rules[name].append(line)
    ours = rules.get("moodarchive-test", rules.get("*", []))
    longest = max((len(rule.split()[1]) for rule in ours), default=0)
    return not longest or any(rule.startswith("Allow") and len(rule.split()[1]) == longest for rule in ours)


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_encodings_are_taken_apart_within_the_limit(name: str) -> None:
    content = Random(3).randbytes(3000) + bytes(100_000)
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "br": _brotli, "zstd": _zstd}[name]
    packed = pack(content)
    assert decode_body(packed, [name], len(content)) == content
    for most in (0, 1, 2999, 3000, 60_000, len(content) - 1):
        assert decode_body(packed, [name], most) == content[: most + 1]
    bomb = {"gzip": gzip.compress, "deflate": zlib.compress, "br": _brotli, "zstd": _zstd}[name](bytes(30_000_000))
    assert len(decode_body(bomb, [name], 1000)) == 1001


def test_a_compressed_file_is_unpacked_and_another_is_not() -> None:
    assert unpack_file(gzip.compress(b"<urlset/>"), 100) == b"<urlset/>"
    assert unpack_file(b"<urlset/>", 100) == b"<urlset/>"
    with pytest.raises(ValueError, match="cut off"):
        unpack_file(gzip.compress(b"<urlset/>" * 50)[:-9], 1000)
