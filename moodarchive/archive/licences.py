"""Which licence a row names, by its name and its address, and what that licence allows."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from urllib.parse import urlsplit

LICENCE_RULES = 1
"""Raised when a licence is read otherwise or another fact is stated: shards are then packed anew."""
UNKNOWN_NAME = "unknown"
CC_HOST = "https://creativecommons.org"
_CC_FAQ = f"{CC_HOST}/faq/ and the deed of each version, as of November 2026"
_LONGEST_TEXT = 300
"""Characters of a name or an address; a longer one names no licence, and is not worth remembering."""


@dataclass(frozen=True, kw_only=True)
class Licence:
    """A licence and what it allows those who receive a picture under it.

    ``redistribution``, ``adaptation`` and ``commercial`` are what may be done, ``attribution`` and ``share_alike`` are
    what is asked in return; ``training`` is whether a model may be trained on the picture, for profit only where
    ``commercial`` holds too. ``basis`` names where these facts stand.
    """

    name: str
    family: str
    url: str | None
    redistribution: bool
    adaptation: bool
    commercial: bool
    training: bool
    attribution: bool
    share_alike: bool
    basis: str

    @property
    def is_public(self) -> bool:
        """True when anybody may pass on the archive's copies, for any purpose.

        The archive's pictures are made smaller, which is an adaptation; a public shard says nothing of who takes it.
        """
        return self.redistribution and self.adaptation and self.commercial

    @property
    def speaks_of_nc_or_nd(self) -> bool:
        """True when the licence is of NC or ND, or may be meant to be."""
        return self.name == UNCLEAR.name or bool({"nc", "nd"} & set(self.family.split("-")))


UNKNOWN = Licence(
    name=UNKNOWN_NAME,
    family=UNKNOWN_NAME,
    url=None,
    redistribution=False,
    adaptation=False,
    commercial=False,
    training=False,
    attribution=True,
    share_alike=False,
    basis="what is not licensed is reserved to its author",
)
"""No licence is stated, the statement is not understood, or name and address contradict each other."""
UNCLEAR = replace(UNKNOWN, name="unknown, perhaps nc or nd")
"""Unknown in the same way, and one of the texts speaks of NC or ND; its name, read again, is this one."""


def _creative_commons(family: str) -> Licence:
    elements = family.split("-")
    return Licence(
        name=family,
        family=family,
        url=f"{CC_HOST}/licenses/{family}/",
        redistribution=True,
        adaptation="nd" not in elements,
        commercial="nc" not in elements,
        # a model may count as an adaptation, which ND lets nobody pass on; nobody has settled it
        training="nd" not in elements,
        attribution=True,
        share_alike="sa" in elements,
        basis=_CC_FAQ,
    )


def _freed(family: str, tool: str) -> Licence:
    return Licence(
        name=f"{family} 1.0",
        family=family,
        url=f"{CC_HOST}/publicdomain/{tool}/1.0/",
        redistribution=True,
        adaptation=True,
        commercial=True,
        training=True,
        attribution=False,
        share_alike=False,
        basis=f"{CC_HOST}/publicdomain/{tool}/1.0/deed.en",
    )


def _of_site(name: str, url: str, basis: str, *, commercial: bool = True, adaptation: bool = True) -> Licence:
    """A site's own licence. None of these lets a collection of its pictures be passed on or trained on."""
    return Licence(
        name=name,
        family=name,
        url=url,
        redistribution=False,
        adaptation=adaptation,
        commercial=commercial,
        training=False,
        attribution=False,
        share_alike=False,
        basis=basis,
    )


LICENCES = {
    licence.family: licence
    for licence in (
        _freed("cc0", "zero"),
        _freed("pdm", "mark"),
        *map(_creative_commons, ("by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd")),
        _of_site(
            "unsplash",
            "https://unsplash.com/license",
            "the licence grants use, change and copies, but no compiling into a similar service; machine learning is "
            "restricted: https://help.unsplash.com/en/articles/2612332, read 2026-11-27",
        ),
        _of_site(
            "pexels",
            "https://www.pexels.com/license/",
            "no distribution of a picture that is merely resized, no machine learning without a permission: "
            "https://help.pexels.com/hc/en-us/articles/900005880463, read 2026-11-27",
        ),
        _of_site(
            "pixabay",
            "https://pixabay.com/service/license-summary/",
            "no distribution of a picture that is merely resized or cropped (https://pixabay.com/service/terms/, as "
            "others quote it, read 2026-11-27); of training nothing was read that allows it",
        ),
        _of_site(
            "burst",
            "https://burst.shopify.com/licenses/shopify-some-rights-reserved",
            "the terms were not read: nothing is taken as allowed",
            commercial=False,
            adaptation=False,
        ),
        _of_site(
            "envato-elements",
            "https://elements.envato.com/license-terms",
            "a paid licence for one project at a time, read 2026-11-01: nothing is taken as allowed",
            commercial=False,
            adaptation=False,
        ),
        UNKNOWN,
    )
}
"""Family → what it allows; the CC families' versions and ports agree in all of it."""

_VERSIONS = ("1.0", "2.0", "2.1", "2.5", "3.0", "4.0")
_JURISDICTIONS = frozenset((
    "ae", "am", "ar", "at", "au", "az", "be", "bg", "br", "ca", "ch", "cl", "cn", "co", "cr", "cz", "de", "dk", "ec",
    "ee", "eg", "es", "fi", "fr", "ge", "gr", "gt", "hk", "hr", "hu", "ie", "igo", "il", "in", "it", "jo", "jp", "kr",
    "lu", "mk", "mt", "mx", "my", "nl", "no", "nz", "pe", "ph", "pl", "pr", "pt", "ro", "rs", "scotland", "se", "sg",
    "si", "th", "tw", "ua", "ug", "uk", "us", "ve", "vn", "za",
))  # fmt: skip
"""The ports' abbreviations, as in the addresses of Creative Commons."""
_SITE_NAMES = {
    "unsplash": ("unsplash", "unsplash license", "unsplash licence", "the unsplash license"),
    "pexels": ("pexels", "pexels license", "pexels licence"),
    "pixabay": (
        "pixabay", "pixabay license", "pixabay licence", "pixabay content license", "simplified pixabay license",
    ),
    "burst": ("burst", "shopify some rights reserved"),
    "envato-elements": ("envato elements", "envato-elements"),
}  # fmt: skip
_SITE_PAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "unsplash.com": ("unsplash", ("license",)),
    "pexels.com": ("pexels", ("license", "photo-license")),
    "pixabay.com": ("pixabay", ("service/license", "service/license-summary", "service/terms")),
    "burst.shopify.com": ("burst", ("licenses/shopify-some-rights-reserved",)),
    "elements.envato.com": ("envato-elements", ("license-terms",)),
}
"""Host → licence, and the paths of the pages that hold it."""
_FLICKR_NUMBERS = {
    "1": "by-nc-sa 2.0", "2": "by-nc 2.0", "3": "by-nc-nd 2.0", "4": "by 2.0", "5": "by-sa 2.0", "6": "by-nd 2.0",
    "9": "cc0 1.0", "10": "pdm 1.0",
}  # fmt: skip
"""Flickr's numbers (flickr.photos.licenses.getInfo). 0, 7 and 8 are no licences; of later ones no list was read."""
_NOTHING = frozenset(("", "?", "-", "null", "none", "nan", "n/a", "<na>"))
_NOISE = frozenset((
    "cc", "creative", "commons", "license", "licence", "licensed", "under", "the", "a", "international", "intl",
    "generic", "unported", "universal",
))  # fmt: skip
_ELEMENTS = {
    "by": "by", "attribution": "by",
    "nc": "nc", "noncommercial": "nc",
    "sa": "sa", "sharealike": "sa",
    "nd": "nd", "noderivs": "nd", "noderivatives": "nd", "noderivativeworks": "nd", "noderivative": "nd",
    "cc0": "cc0", "cczero": "cc0", "publicdomaindedication": "cc0",
    "pdm": "pdm", "publicdomainmark": "pdm",
    "publicdomain": "public",
}  # fmt: skip
_JOINED = (
    (r"\bnon\W?commercial\b", "noncommercial"),
    (r"\bshare\W?alike\b", "sharealike"),
    (r"\bno\W?(deriv(?:ative)?s?)(?:\W?works)?\b", r"no\1"),
    (r"\b(?:cc|creative\W?commons)\W?zero\b", "cczero"),
    (r"\bpublic\W?domain\W?dedication\b", "publicdomaindedication"),
    (r"\bpublic\W?domain\W?mark\b", "publicdomainmark"),
    (r"\bpublic\W?domain\b", "publicdomain"),
)
_WORD = re.compile(r"\d+(?:\.\d+)*|[^\W\d_]+0?")
_ORDER = ("by", "nc", "sa", "nd")
_CC_LICENCE = re.compile(
    r"/licen[cs]es/(by(?:-(?:nc|sa|nd))*)/(\d\.\d)(?:/([a-z]+))??(?:/(?:deed|legalcode)[a-z_.-]*)?/?"
)
_CC_PUBLIC = re.compile(r"/publicdomain/(zero|mark)/1\.0(?:/[a-z]{2})??(?:/(?:deed|legalcode)[a-z_.-]*)?/?")


@dataclass(frozen=True)
class _Reading:
    """What one text says. ``usual`` is the version that its wording has when none is said."""

    family: str
    version: str | None = None
    port: str | None = None
    usual: str | None = None


def find_licence(name: str | None, url: str | None) -> Licence:
    """The licence that a row states; UNKNOWN when it states none, or one that is not in the table.

    UNKNOWN also when name and address contradict each other in family, version or port, when either of them is not
    understood, and when no version of a CC licence is said, since the licence could then not be linked. UNCLEAR in its
    place when a text speaks of NC or ND.
    """
    if len(name or "") > _LONGEST_TEXT or len(url or "") > _LONGEST_TEXT:
        return UNCLEAR  # nobody has read it to its end
    return _find(name, url)


@lru_cache(maxsize=65_536)
def _find(name: str | None, url: str | None) -> Licence:
    licence = _agree(_read_both(name, url))
    if licence is not UNKNOWN:
        return licence
    words = {_ELEMENTS.get(word) for text in (name, url) for word in _split_words(_fold(text))}
    return UNCLEAR if words & {"nc", "nd"} else UNKNOWN


def _agree(readings: Sequence[_Reading | None]) -> Licence:
    """The one licence that all readings mean, else UNKNOWN."""
    stated = [reading for reading in readings if reading]
    families = {reading.family for reading in stated} - {"public"}
    versions = {reading.version for reading in stated if reading.version}
    ports = {reading.port for reading in stated if reading.port}
    if None in readings or len(families) != 1 or len(versions) > 1 or len(ports) > 1:
        return UNKNOWN
    family = families.pop()
    if family not in ("cc0", "pdm") and any(reading.family == "public" for reading in stated):
        return UNKNOWN
    licence = LICENCES[family]
    if not family.startswith("by"):
        return licence
    usual = next((reading.usual for reading in stated if reading.usual), None)
    version = next(iter(versions), usual)
    if version is None:
        return UNKNOWN
    port = "".join(f"{port}/" for port in ports)
    return replace(licence, name=f"{family} {version}", url=f"{licence.url}{version}/{port}")


def may_be_published(name: str | None, url: str | None, *, permitted: bool) -> bool:
    """True when a row that states this licence may go into a public shard.

    Its licence allows it; or, where the row's licence is unknown or the site's own, the operator holds a permission for
    the source that covers passing on (``permitted``). NC and ND stay private with one too, even where only one of two
    contradicting texts says so: the row would go on telling its receivers that they may not.
    """
    licence = find_licence(name, url)
    return licence.is_public or (permitted and not licence.speaks_of_nc_or_nd)


def is_accepted(licence: Licence, accepted: Collection[str]) -> bool:
    """True when the licence is among the accepted names: families such as ``by``, or versions such as ``by 2.0``."""
    return licence.family in accepted or licence.name in accepted


def count_by_licence(stated: Iterable[tuple[str | None, str | None, int]]) -> dict[str, int]:
    """Licence → images, of (name, address, images) as rows state them; in the licences' order."""
    counts: Counter[str] = Counter()
    for name, url, images in stated:
        counts[find_licence(name, url).name] += images
    return dict(sorted(counts.items()))


def require_known_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names, which settings give; ValueError for one that no licence has."""
    names = tuple(names)
    for name in names:
        family, _, version = name.partition(" ")
        legal = ("1.0",) if family in ("cc0", "pdm") else _VERSIONS if family.startswith("by") else ()
        if family not in LICENCES or (version not in legal if " " in name else False):
            raise ValueError(
                f"{name!r} is no licence; legal: {', '.join(LICENCES)}, and the CC ones with a version, such as by 2.0"
            )
    return names


def _read_both(name: str | None, url: str | None) -> list[_Reading | None]:
    """What each text says that says anything; None for one that is not understood."""
    name_text, url_text = (text if text not in _NOTHING else "" for text in map(_fold, (name, url)))
    readings: list[_Reading | None] = []
    if name_text:
        readings.append(_read_address(name_text) if "/" in name_text else _read_name(name_text))
    if url_text:
        readings.append(_read_address(url_text))
    return readings


def _fold(text: str | None) -> str:
    return unicodedata.normalize("NFKC", text or "").strip().casefold()


def _split_words(text: str) -> list[str]:
    text = re.sub(r"[\s_]+", " ", text)
    for pattern, joined in _JOINED:
        text = re.sub(pattern, joined, text)
    return _WORD.findall(text)


def _read_name(text: str) -> _Reading | None:
    """Every word must be known: ``not cc by`` and ``cc by, gfdl`` are not understood."""
    if text in _FLICKR_NUMBERS:
        return _Reading(*_FLICKR_NUMBERS[text].split(" "))
    for site, names in _SITE_NAMES.items():
        if text in names:
            return _Reading(site)
    words = _split_words(text)
    versions = {word if "." in word else f"{word}.0" for word in words if word[0].isdigit()}
    # only there a port stands: elsewhere "no", "in" and "it" are words
    ports = {word for before, word in pairwise(words) if before[0].isdigit() and word in _JURISDICTIONS}
    named = [word for word in words if not word[0].isdigit() and word not in ports | _NOISE]
    family = _family_of({_ELEMENTS.get(word, "") for word in named})
    if family is None or len(versions) > 1 or len(ports) > 1:
        return None
    if not family.startswith("by"):
        return _Reading(family) if versions <= {"1.0"} and ports <= {"us"} else None
    if not versions <= set(_VERSIONS):
        return None
    version: str | None = next(iter(versions), None)
    # so Flickr calls its licences of version 2.0
    is_flickrs = version is None and re.fullmatch(r"attribution[a-z-]* license", text)
    return _Reading(family, version, next(iter(ports), None), "2.0" if is_flickrs else None)


def _family_of(elements: set[str]) -> str | None:
    if elements in ({"public"}, {"cc0"}, {"pdm"}):
        return next(iter(elements))
    if elements in ({"cc0", "public"}, {"pdm", "public"}):
        return next(iter(elements - {"public"}))
    family = "-".join(element for element in _ORDER if element in elements)
    return family if family in LICENCES and elements <= set(_ORDER) else None


def _read_address(text: str) -> _Reading | None:
    if "://" not in text:
        text = f"https://{text.removeprefix('//')}"
    try:
        address = urlsplit(text)
        host, port = address.hostname or "", address.port
    except ValueError:
        return None
    if address.scheme not in ("http", "https") or port not in (None, 80, 443) or address.username is not None:
        return None
    host = host.removeprefix("www.")
    if host == "creativecommons.org":
        return _read_cc_path(address.path)
    if host not in _SITE_PAGES:
        return None
    family, pages = _SITE_PAGES[host]
    path = re.sub(r"^[a-z]{2}(-[a-z]{2})?/", "", address.path.strip("/"))
    return _Reading(family) if path in pages else None


def _read_cc_path(path: str) -> _Reading | None:
    if match := _CC_PUBLIC.fullmatch(path):
        return _Reading("cc0" if match[1] == "zero" else "pdm")
    if match := _CC_LICENCE.fullmatch(path):
        family = _family_of(set(match[1].split("-")))
        if family and match[2] in _VERSIONS and (match[3] is None or match[3] in _JURISDICTIONS):
            return _Reading(family, match[2], match[3])
    return None
