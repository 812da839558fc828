"""A row's licence is read from its name and its address as lists write them; what contradicts itself is unknown."""

import random
from collections.abc import Iterator
from itertools import product

import pytest

from moodarchive.archive.licences import (
    LICENCES,
    UNKNOWN,
    find_licence,
    is_accepted,
    may_be_published,
    require_known_names,
)

CC = "https://creativecommons.org"
FAMILIES = ("by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd")
VERSIONS = ("1.0", "2.0", "2.5", "3.0", "4.0")
STATED = [("cc0", "1.0"), ("pdm", "1.0"), *product(FAMILIES, VERSIONS)]


def _address(family: str, version: str) -> str:
    tools = {"cc0": "publicdomain/zero", "pdm": "publicdomain/mark"}
    return f"{CC}/{tools.get(family, f'licenses/{family}')}/{version}/"


def _spellings(family: str, version: str) -> list[str]:
    if family in ("cc0", "pdm"):
        long = {"cc0": "CC0 1.0 Universal", "pdm": "Public Domain Mark"}[family]
        return [family, f"{family} {version}", family.upper(), long, f"{long} ({family.upper()})"]
    words = {"by": "Attribution", "nc": "NonCommercial", "sa": "ShareAlike", "nd": "NoDerivatives"}
    long = "-".join(words[element] for element in family.split("-"))
    return [
        f"{family} {version}", f"CC {family.upper()} {version}", f"cc-{family}-{version}", f"CC_{family}_{version}",
        f"Creative Commons {long} {version} International", f"{long} {version}", f"CC-{family.upper()}-{version}-DE",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "url", "expected"),
    [
        ("cc-by-2.0-de", None, "by 2.0"),
        ("CC BY-NC 2.0", None, "by-nc 2.0"),
        ("Attribution License", None, "by 2.0"),
        ("Attribution License", f"{CC}/licenses/by/4.0/", "by 4.0"),
        ("Attribution-NonCommercial-ShareAlike License", "http://creativecommons.org/licenses/by-nc-sa/2.0/",
         "by-nc-sa 2.0"),
        ("4", None, "by 2.0"), ("9", None, "cc0 1.0"), ("10", f"{CC}/publicdomain/mark/1.0/", "pdm 1.0"),
        ("0", None, "unknown"), ("7", None, "unknown"), ("8", None, "unknown"),
        ("4", f"{CC}/licenses/by/4.0/", "unknown"),
        (None, f"{CC}/licenses/by/2.0/", "by 2.0"),
        (None, "http://www.creativecommons.org/licenses/by-sa/3.0", "by-sa 3.0"),
        (None, "creativecommons.org/licenses/by/4.0/deed.de", "by 4.0"),
        (None, "//creativecommons.org/licenses/by/4.0/legalcode.zh-hans", "by 4.0"),
        (None, f"{CC}/licenses/by/3.0/at/legalcode", "by 3.0"),
        (None, f"{CC}/licenses/by-nd-nc/1.0/", "by-nc-nd 1.0"),
        (None, f"{CC}/licenses/by/4.0/?ref=openverse#here", "by 4.0"),
        (None, f"{CC}/publicdomain/zero/1.0/deed.en", "cc0 1.0"),
        (f"{CC}/publicdomain/mark/1.0/", None, "pdm 1.0"),
        ("PDM", None, "pdm 1.0"), ("public domain mark", None, "pdm 1.0"), ("CC0-1.0", None, "cc0 1.0"),
        ("Public Domain Dedication (CC0)", f"{CC}/publicdomain/zero/1.0/", "cc0 1.0"),
        ("Public domain", f"{CC}/publicdomain/mark/1.0/", "pdm 1.0"),
        ("Public domain", None, "unknown"), ("Public domain", f"{CC}/licenses/by/4.0/", "unknown"),
        ("CC BY", f"{CC}/licenses/by/3.0/", "by 3.0"), ("CC BY", None, "unknown"), ("by 5.0", None, "unknown"),
        ("by 2.0", f"{CC}/licenses/by/2.0/de/", "by 2.0"),
        ("cc-by-2.0-de", f"{CC}/licenses/by/2.0/at/", "unknown"),
        ("by 2.0", f"{CC}/licenses/by/4.0/", "unknown"), ("by 2.0", f"{CC}/licenses/by-nc/2.0/", "unknown"),
        ("cc0", f"{CC}/licenses/by/4.0/", "unknown"), ("cc0", "https://pixabay.com/service/license/", "unknown"),
        ("No known copyright restrictions", None, "unknown"),
        ("No known copyright restrictions", f"{CC}/licenses/by/2.0/", "unknown"),
        ("All rights reserved", f"{CC}/publicdomain/zero/1.0/", "unknown"),
        ("CC BY-SA 2.5,2.0", None, "unknown"), ("CC BY-SA 3.0, GFDL", None, "unknown"),
        ("not CC BY 2.0", None, "unknown"),
        ("no CC BY 2.0", None, "unknown"), ("CC BY 2.0 no commercial use", None, "unknown"),
        ("CC BY 2.0", "https://example.org/terms", "unknown"),
        (None, "https://creativecommons.org@evil.test/licenses/by/4.0/", "unknown"),
        (None, "https://creativecommons.org.evil.test/licenses/by/4.0/", "unknown"),
        (None, "https://evil.test/creativecommons.org/licenses/by/4.0/", "unknown"),
        (None, f"{CC}/licenses/by/4.0/../../by-nc/4.0/", "unknown"), (None, "http://[", "unknown"),
        (None, f"{CC}/licenses/sampling+/1.0/", "unknown"), (None, f"{CC}/licenses/by/4.0/xx/", "unknown"),
        (None, None, "unknown"), ("", " ", "unknown"), ("null", "N/A", "unknown"),
        ("n/a", f"{CC}/licenses/by/4.0/", "by 4.0"), ("by 2.0" + " " * 1000, None, "unknown"),
        ("ＣＣ　ＢＹ　４.０", None, "by 4.0"),
        # what the adapters of crawl/sites write
        ("unsplash", "https://unsplash.com/license", "unsplash"),
        ("pexels", "https://www.pexels.com/license/", "pexels"),
        ("pixabay", "https://pixabay.com/service/license-summary/", "pixabay"),
        ("cc0 1.0", f"{CC}/publicdomain/zero/1.0/", "cc0 1.0"),
        ("burst", "https://burst.shopify.com/licenses/shopify-some-rights-reserved", "burst"),
        ("envato-elements", "https://elements.envato.com/license-terms", "envato-elements"),
        ("not-stated", None, "unknown"),
    ],
)  # fmt: skip
def test_a_licence_is_found_as_lists_write_it(name: str | None, url: str | None, expected: str) -> None:
    licence = find_licence(name, url)
    assert (licence.family if expected == "unknown" else licence.name) == expected


def test_a_port_keeps_its_address() -> None:
    assert find_licence("cc-by-2.0-de", None).url == f"{CC}/licenses/by/2.0/de/"
    assert find_licence("by 3.0", "http://creativecommons.org/licenses/by/3.0/at/deed.de").url == (
        f"{CC}/licenses/by/3.0/at/"
    )


@pytest.mark.parametrize(("family", "version"), STATED)
def test_every_spelling_and_address_of_a_licence_is_that_licence(family: str, version: str) -> None:
    address = _address(family, version)
    addresses = (address, address.replace("https", "http"), address.rstrip("/"), address.replace("//", "//www."),
                 f"{address}deed.fr", f"{address}legalcode")  # fmt: skip
    for name, url in product((None, "", *_spellings(family, version)), (None, *addresses)):
        if name or url:
            licence = find_licence(name, url)
            assert licence.name == f"{family} {version}", (name, url)
            assert (licence.adaptation, licence.commercial) == ("nd" not in family, "nc" not in family)
            assert (licence.share_alike, licence.attribution) == ("sa" in family, family not in ("cc0", "pdm"))


def _combinations() -> Iterator[tuple[tuple[str, str], str, tuple[str, str] | None]]:
    """Every licence in every spelling beside the address of every licence, and beside none."""
    for named in STATED:
        yield from product([named], _spellings(*named), [*STATED, None])


def test_a_name_and_an_address_of_two_licences_are_unknown() -> None:
    for named, name, linked in _combinations():
        if linked:
            expected = " ".join(named) if named == linked else "unknown"
            licence = find_licence(name, _address(*linked))
            assert (licence.family if expected == "unknown" else licence.name) == expected, (name, linked)
            assert find_licence(licence.name, licence.url) == licence, "it reads itself as it is"


def test_neither_nc_nor_nd_is_ever_published_nor_unknown_without_a_permission() -> None:
    for (named, name, linked), permitted in product(_combinations(), (False, True)):
        published = may_be_published(name, _address(*linked) if linked else None, permitted=permitted)
        if {"nc", "nd"} & {*named[0].split("-"), *(linked[0].split("-") if linked else ())}:
            assert not published, (name, linked)
        else:
            assert published is (permitted or linked in (None, named)), (name, linked)


def test_no_text_of_strangers_breaks_the_reading() -> None:
    rng = random.Random(7)
    alphabet = "cbyns0124./:-_ @?#[]%\\\0٤²é\u202e\ud800"
    for _ in range(5_000):
        name, url = ("".join(rng.choices(alphabet, k=rng.randrange(24))) for _ in range(2))
        assert find_licence(name, f"https://creativecommons.org/{url}").family in LICENCES
        assert find_licence(url, name).family in LICENCES


def test_a_permission_covers_what_is_unknown_or_a_sites_own_and_nothing_that_speaks_of_nc_or_nd() -> None:
    for name, url in ((None, None), ("pexels", None), ("All rights reserved", None), ("CC BY", None)):
        assert may_be_published(name, url, permitted=True) and not may_be_published(name, url, permitted=False)
    for name in ("CC BY-NC 2.0, GFDL", "non-commercial use only", "Creative Commons No Derivs", "x" * 1000):
        assert not may_be_published(name, None, permitted=True)


def test_names_are_accepted_by_family_or_by_version() -> None:
    licence = find_licence("CC BY 2.0", None)
    assert is_accepted(licence, ("cc0", "by")) and is_accepted(licence, ["by 2.0"])
    assert not is_accepted(licence, ("by 4.0", "by-sa")) and not is_accepted(licence, ())
    assert is_accepted(UNKNOWN, ("unknown",)) and not is_accepted(UNKNOWN, ("by",))


def test_names_that_no_licence_has_are_refused() -> None:
    legal = ("cc0", "cc0 1.0", "by 2.0", "by-nc-nd", "unsplash", "unknown")
    assert require_known_names(legal) == legal
    for name in ("cc-by", "by 5.0", "by ", "cc0 2.0", "unsplash 1.0", "BY"):
        with pytest.raises(ValueError, match="is no licence; legal: cc0, pdm, by"):
            require_known_names([name])


def test_every_fact_names_where_it_stands() -> None:
    assert all(licence.basis for licence in LICENCES.values())
