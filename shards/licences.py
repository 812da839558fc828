"""What a licence asks of those who pass the pictures on, as the dataset card says it."""

_ENTAILS = {
    "cc0": "nothing is asked; naming the creator is good manners",
    "pdm": "free of known copyright; nothing is asked",
    "by": "name the creator, link the licence, say what was changed",
    "by-sa": "as `by`; and an adaptation that you pass on must be under the same licence (see below)",
    "by-nd": "as `by`; an adaptation may not be passed on: the archive's smaller copy may be one, so ask first",
    "by-nc": "as `by`; not for commercial use",
    "by-nc-sa": "as `by`; not for commercial use; adaptations under the same licence",
    "by-nc-nd": "as `by`; not for commercial use; no adaptations",
}
_OWN_TERMS = "the site's own terms: read them before you pass an image on"
_UNSTATED = "no licence was stated: do not pass these images on"
NOT_STATED = "not stated"


def describe_terms(licence: str) -> str:
    """One line for a short name such as ``by-sa 4.0``; a name outside Creative Commons is the site's own."""
    if licence == NOT_STATED:
        return _UNSTATED
    return _ENTAILS.get(licence.split(" ", 1)[0].lower(), _OWN_TERMS)


def licence_address(licence: str) -> str | None:
    """Where a Creative Commons licence stands; None for a name that is none."""
    name, _, version = licence.lower().partition(" ")
    if name not in _ENTAILS or not version.replace(".", "").isdigit():
        return None
    if name in ("cc0", "pdm"):
        return f"https://creativecommons.org/publicdomain/{'zero' if name == 'cc0' else 'mark'}/{version}/"
    return f"https://creativecommons.org/licenses/{name}/{version}/"
