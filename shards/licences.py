"""What licences allow and ask, as the dataset card and its metadata say it."""

from collections.abc import Mapping, Sequence

from moodarchive.archive.licences import UNKNOWN, find_licence

_ASKS = {
    "cc0": "nothing; naming the creator is good manners",
    "pdm": "nothing: free of known copyright",
    "by": "name the creator, link the licence, say what was changed",
    "by-sa": "as `by`; and a changed copy that you pass on must be under the same licence (see below)",
    "by-nd": "as `by`; no changed copy may be passed on, and the archive's smaller one is such a copy",
    "by-nc": "as `by`; nothing for profit",
    "by-nc-sa": "as `by`; nothing for profit; changed copies under the same licence",
    "by-nc-nd": "as `by`; nothing for profit; no changed copy may be passed on",
    UNKNOWN.family: "no licence was stated clearly: do not pass these images on",
}
_OWN_TERMS = "the site's own terms: read them before you use an image"
LICENCE_HEAD = ("licence", "images", "pass on", "change", "for profit", "train a model", "what it asks of you")
USE_HEAD = ("use", "images", "under")


def licence_row(name: str, images: int) -> tuple[str | int, ...]:
    """A row under LICENCE_HEAD for a name as the manifest counts it."""
    licence = find_licence(name, None)
    allowed = (licence.redistribution, licence.adaptation, licence.commercial, licence.training)
    asks = _ASKS.get(licence.family, _OWN_TERMS)
    return (name, images, *("yes" if is_allowed else "no" for is_allowed in allowed), asks)


def use_rows(counts: Mapping[str, int], public: int) -> list[tuple[str | int, ...]]:
    """Rows under USE_HEAD: how many images each use may take, and under which licences.

    ``counts`` are images by licence, ``public`` the samples of the sets that may be passed on.
    """
    licences = {name: find_licence(name, None) for name in sorted(counts)}
    training = [name for name, licence in licences.items() if licence.commercial and licence.training]
    adaptation = [name for name, licence in licences.items() if licence.adaptation]
    return [
        ("train a model, for profit too (`commercial-training`)", _total(counts, training), ", ".join(training)),
        ("pass samples on (`redistribution`)", public, "whatever lies in the public sets"),
        ("change pictures (`adaptation`)", _total(counts, adaptation), ", ".join(adaptation)),
    ]


def licence_address(name: str) -> str | None:
    """Where a licence of the table stands; None for what is none."""
    return find_licence(name, None).url


def _total(counts: Mapping[str, int], names: Sequence[str]) -> int:
    return sum(counts[name] for name in names)
