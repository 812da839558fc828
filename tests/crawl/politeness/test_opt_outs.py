"""X-Robots-Tag and TDM-Reservation as servers send them, by the tag's documentation: each header by itself."""

import asyncio
from collections.abc import Mapping, Sequence
from random import Random

import pytest
from multidict import CIMultiDict

from crawl.http.images import Fetcher, FetchLimits
from crawl.http.search_client import WebClient
from crawl.politeness.robots import OPT_OUTS, opt_out_of, refuse_opted_out
from moodarchive.errors import RowError, ServiceError
from tests.making import HOST, giving, serving

AGENT = "MoodArchive/0.1 (mailto:someone@example.org)"
DATES = (
    "25 Jun 2030 15:00:00 PST",
    "Wednesday, 25-Jun-30 15:00:00 GMT",
    "Wed, 25 Jun 2030 15:00:00 GMT",
    "Wed Jun 25 15:00:00 2030",
    "2030-01-01T00:00:00Z",
    "2030-06-25 15:00:00+02:00",
    "25-Jun-2030, 3:00 pm",
    "2030-06-25",
)
"""RFC 822, 850, 1123, asctime and ISO 8601, all of which the documentation takes."""
TAGS: Mapping[str, tuple[Sequence[str], str]] = {
    "one word": (["noai"], "noai"),
    "capitals": (["NOAI"], "noai"),
    "another word first": (["noarchive, noimageai"], "noimageai"),
    "none means noindex": (["none"], "noindex"),
    "nofollow is none of them": (["nofollow"], ""),
    "all": (["all"], ""),
    "nothing": ([""], ""),
    "commas only": ([",,;"], ""),
    "a semicolon": (["noarchive; noai"], "noai"),
    "blanks only": (["noarchive noai"], "noai"),
    "quotes": (['"noai"'], "noai"),
    "the second of two": (["max-image-preview:large", "noai, noimageai"], "noai"),
    "the third of three": (["noarchive", "max-snippet: -1", "noml"], "noml"),
    "a number before it": (["max-snippet: -1, noai"], "noai"),
    "a number without a blank": (["max-video-preview:30, noml"], "noml"),
    "a value that is a word": (["max-image-preview: none"], ""),
    "a value that is a word, without a blank": (["max-image-preview:none"], ""),
    "a value, then the word": (["max-image-preview: none, noindex"], "noindex"),
    "another bot": (["googlebot: noindex, noai"], ""),
    "another bot without a blank": (["googlebot:noai"], ""),
    "another bot, then ours": (["otherbot: noai, moodarchive: noml"], "noml"),
    "ours, then another": (["moodarchive: noarchive, otherbot: noai"], ""),
    "ours with its version": (["MoodArchive/2.0: noai"], "noai"),
    "ours before a number": (["moodarchive: max-snippet: 5, noai"], "noai"),
    "everybody by a star": (["*: noai"], "noai"),
    "another bot, then everybody": (["otherbot: noarchive, *: noml"], "noml"),
    "another bot in its own header": (["otherbot: noarchive", "noai"], "noai"),
    "another bot's word in its own header": (["noarchive", "otherbot: noai"], ""),
    "a name that begins as ours": (["moodarchive-images: noai"], ""),
    "a name within ours": (["archive: noai"], ""),
    "a bot with digits": (["360spider: noai"], ""),
    "a word that begins as ours": (["noaiart, noindexing"], ""),
    "a word with an answer": (["noai: yes"], "noai"),
    "another bot's date": (["otherbot: unavailable_after: 25 Jun 2030 15:00:00 PST, noai"], ""),
    "a date in a header of its own": (["unavailable_after: 25 Jun 2030 15:00:00 PST", "noml"], "noml"),
    **{f"after the date {date}": ([f"unavailable_after: {date}, noai"], "noai") for date in DATES},
    **{f"only the date {date}": ([f"unavailable_after: {date}"], "") for date in DATES},
    **{f"before the date {date}": ([f"noml, unavailable_after: {date}"], "noml") for date in DATES},
}
RESERVATIONS: Mapping[str, tuple[Sequence[str], str]] = {
    "one": (["1"], "tdm"),
    "joined by a proxy": (["1, 1"], "tdm"),
    "twice": (["0", "1"], "tdm"),
    "quoted": (['"1"'], "tdm"),
    "none": (["0"], ""),
    "ten": (["10"], ""),
    "empty": ([""], ""),
}
KINDS = {
    **{name: ([("X-Robots-Tag", value) for value in values], right) for name, (values, right) in TAGS.items()},
    **{
        f"tdm {name}": ([("tdm-reservation", value) for value in values], right)
        for name, (values, right) in RESERVATIONS.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_header_is_heeded(name: str) -> None:
    headers, right = KINDS[name]
    assert _kind_of(headers) == right


@pytest.mark.parametrize("name", ["the second of two", "another bot in its own header", "all", "tdm joined by a proxy"])
def test_every_header_reaches_the_judgement_of_download_and_search(name: str) -> None:
    headers, right = KINDS[name]

    async def fetch(hosts: Mapping[str, str]) -> str:
        async with Fetcher(FetchLimits(max_bytes=1000, deadline_s=5), AGENT, hosts) as fetcher:
            try:
                return (await fetcher.fetch(f"http://{HOST}/x")).decode()
            except RowError as error:
                return error.kind.removeprefix("opt_out_")

    with serving({"/x": giving(b"fine", headers=CIMultiDict(headers))}) as site:
        assert asyncio.run(fetch(site.hosts)) == (right or "fine")
        web = WebClient(user_agent=AGENT, loopback_hosts=site.hosts)
        if right:
            with pytest.raises(ServiceError, match=r"says|tdm-reservation"):
                web.get_page(f"http://{HOST}/x", {})
        else:
            page = web.get_page(f"http://{HOST}/x", {})
            assert page is not None and page.html == "fine"


def _kind_of(headers: Sequence[tuple[str, str]]) -> str:
    try:
        refuse_opted_out("http://a.example/x", CIMultiDict(headers), AGENT)
    except RowError as error:
        return error.kind.removeprefix("opt_out_")
    return ""


def test_a_word_for_us_counts_whatever_stands_around_it() -> None:
    """The grammar, drawn: groups of rules for bots in one or several headers; only ours and everybody's count."""
    random = Random(11)
    neutral = ["noarchive", "nosnippet", "max-snippet: 50", "max-image-preview: large", "all",
               *(f"unavailable_after: {date}" for date in DATES)]  # fmt: skip
    for _ in range(5000):
        headers, words = [], []
        for _ in range(random.randrange(1, 4)):
            parts, addressed = [], True
            for _ in range(random.randrange(1, 5)):
                rule = random.choice([*neutral, *OPT_OUTS])
                bot = random.choice(["", "", "*", "otherbot", "moodarchive", "Googlebot-Image"])
                addressed = bot in ("*", "moodarchive") if bot else addressed
                parts.append(f"{bot}: {rule}" if bot else rule)
                if addressed and rule in OPT_OUTS:
                    words.append(rule.replace("none", "noindex"))
            headers.append(("X-Robots-Tag", random.choice([", ", ",", " , "]).join(parts)))
        assert _kind_of(headers) == (words[0] if words else ""), headers


def test_no_header_takes_long_or_fails() -> None:
    random = Random(2)
    for text in (":" * 30_000, "a" * 60_000, "a: " * 20_000, ("noarchive, " * 6000) + "x:", " " * 60_000 + ":"):
        assert opt_out_of(text, AGENT) is None
    for _ in range(2000):
        opt_out_of("".join(random.choices("a:,; *-09noai\u0130\x00\t", k=30)), AGENT)
