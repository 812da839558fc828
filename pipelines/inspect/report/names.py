"""What a person calls the names that the tables use: kinds of failure, sets, licences."""

import re

_KINDS = {
    "waiting": "not there yet",
    "unknown": "no reason recorded",
    "skipped": "dropped by an earlier table",
    "merged": "found again by another query or under another address",
    # download
    "not_an_image": "not an image",
    "truncated": "cut off on the way",
    "corrupt_image": "damaged image file",
    "unreadable_image": "picture could not be read",
    "too_small": "too few pixels",
    "too_many_pixels": "too many pixels",
    "too_many_scans": "a picture made to be slow",
    "too_many_bytes": "file too large",
    "forbidden_address": "address inside a private network",
    "forbidden_scheme": "neither http nor https",
    "bad_url": "malformed address",
    "unknown_host": "host unknown",
    "encoded_body": "image in a compressed envelope",
    "deadline": "took too long",
    "too_many_redirects": "too many redirects",
    "bad_answer": "answer broke HTTP",
    "tls_failed": "no safe connection",
    "opt_out": "opted out",
    "throttled": "site asked to slow down, repeatedly",
    "unreachable": "site unreachable",
    "failed_download": "could not be downloaded",
    # safety
    "unsafe": "not safe for work",
    "failed_safety": "safety check failed",
    # captions
    "not_json": "answer was not JSON",
    "wrong_schema": "answer had other fields",
    "not_one_sentence": "not one sentence each",
    "too_long": "caption too long for CLIP",
    "repeats_prompt": "answer copied the prompt",
    "too_few_stimuli": "fewer than three triggers",
    "server_failed": "server lost the request again and again",
    "repeated_stimuli": "two triggers were alike",
    "unknown_emotion": "named an emotion outside the 27",
    "refused": "model refused to describe it",
    "no_answer": "model answered nothing",
    "empty_reply": "server answered without an answer",
    "cut_off": "answer was cut off",
    "failed_caption": "no acceptable caption",
    # scores and cut
    "not_finite": "score was not a number",
    "failed_score": "could not be scored",
    "low_score": "fits its emotion too little",
    "repeat": "looks like an image already kept",
    "near_heldout": "looks like a held-out image",
    "rejected_by_people": "people refused its caption",
    "taken_down": "taken down on request",
}
_HTTP = {"404": "not found", "410": "gone", "403": "access refused", "401": "access refused", "451": "withheld for law"}
_SETS = {"heldout": "held out"}
_CREATIVE_COMMONS = re.compile(r"(by(?:-nc)?(?:-sa|-nd)?)(?: ([\d.]+))?")
_FREED = {"cc0": "CC0", "pdm": "Public Domain Mark"}


def kind_name(kind: str) -> str:
    """``http_404`` → ``not found (HTTP 404)``; a kind without a name of its own is read with spaces."""
    if status := re.fullmatch(r"http_(\d{3})", kind):
        code = status[1]
        return f"{_HTTP.get(code, 'site error' if code >= '500' else 'request refused')} (HTTP {code})"
    return _KINDS.get(kind, kind.replace("_", " "))


def set_name(name: str) -> str:
    """A shard set as a person writes it."""
    return _SETS.get(name, name)


def licence_name(licence: str | None) -> str:
    """``by-sa 4.0`` → ``CC BY-SA 4.0``; a licence of another family stays as the site names it."""
    if not licence:
        return "not stated"
    if match := _CREATIVE_COMMONS.fullmatch(licence.strip().lower()):
        return " ".join(filter(None, ("CC", match[1].upper(), match[2])))
    first, _, version = licence.partition(" ")
    return f"{_FREED[first.lower()]} {version}".strip() if first.lower() in _FREED else licence
