"""The dataset card, README.md: what the archive holds, on what terms, and what it is not good for."""

import json
import re
from collections.abc import Mapping
from typing import Any

from moodarchive.archive.manifest import Contents
from moodarchive.tables.layout import PRIVATE, SETS
from shards.attribution import ATTRIBUTION_PATH
from shards.licences import LICENCE_HEAD, USE_HEAD, licence_row, use_rows

CARD_PATH = "README.md"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
          (10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"))  # fmt: skip
_SET_NOTES = {
    "train": "for training",
    "validation": "to steer training by",
    "heldout": "never to be trained on: evaluation only; no look-alike of it is in the other sets",
    PRIVATE: "**may not be passed on**: by its sources' terms, by its licences, or since it may not be safe for work",
}
_HUB_SPLITS = {"train": "train", "validation": "validation", "heldout": "test"}
_CONTENTS = f"""\
Pictures that were searched for by emotion (27 emotions in 4 contexts), each with a caption of five sentences (a
summary, three visual triggers, an overall assessment) that a vision-language model wrote.
A sample is a `.jpg`, a `.txt` (the caption) and a `.json` (every field: search query, source, licence, creator, landing
page, caption sentences, model and prompt, sizes, CLIP score, NSFW probability, split). Beside each tar a `.parquet`
gives every sample's offset and sha256.
`manifest.json` has the digest of every file, and `moodarchive verify` proves them; `{ATTRIBUTION_PATH}` names title,
creator, licence and landing page of every image.
"""
_OBLIGATIONS = f"""\
The archive is a collection: each image keeps its own licence, and none of them extends to its neighbours. The tables
are a summary: the licences' texts decide, and this is no legal advice. Images under NC or ND licences lie in no public
set, nor do those of unknown licence unless whoever built the archive holds a permission. `moodarchive licences ROOT
--for USE` names the shards and samples of each use, and writes whom to credit. Besides:

- **Credit.** Whoever passes images on passes `{ATTRIBUTION_PATH}` on with them, and says that the pictures were made
  smaller and encoded anew.
- **`by-sa`.** Who changes such an image (crops, edits or combines it into a new picture) and passes the result on, does
  so under the same licence, with credit. Whether a model's weights or a caption is an adaptation of the images is not
  settled; who wants to stay clear of the question leaves out the samples whose `licence` begins with `by-sa`.
- **No promise.** Licences are what the sites stated when they were asked (`retrieved_on`). Sites err, and creators
  change their minds: follow the landing page before you rely on one image.
"""
_USE = """\
The archive is meant for research on how pictures evoke emotions: training and evaluating image-text models and
emotion-aware editing. Many pictures show people. Their faces were found by emotion words, not chosen or labelled by the
people themselves.

- The emotion is the one that was **searched for**, or that a model read into the picture; it is not what the person in
  it felt.
- Not meant for: identifying people; judging the emotions of real persons, at work, at school, at borders or elsewhere
  (in the European Union partly forbidden by the AI Act); decisions about anyone.
- A licence of the creator is not the consent of the person shown.
"""
_LIMITS = """\
- Captions are machine-written. They name things that are not there, and agree with the search words too easily.
- Stock pictures are posed, well lit, and mostly from the places where stock photographers work; what they show as "joy"
  or "grief" is a convention of that trade.
- The emotions overlap, and some (realization, approval) have hardly a look of their own.
- Unsafe pictures were removed by a classifier, look-alikes by a perceptual hash, ill-fitting pictures by CLIP: each
  lets some through and drops some that were good. What was dropped, and why, is in `selection/`.
"""


def render_card(contents: Contents) -> str:
    """The card's text; every figure in it is the seal's."""
    sections = (
        ("Contents", f"{_CONTENTS}\n{_sets_table(contents.sets)}\n{_flow(contents.counts)}"),
        ("Licences", _licences(contents)),
        ("Sources", _table(("source", "images"), sorted(contents.sources.items()))),
        ("People and intended use", _USE),
        ("Known limits", _LIMITS),
        ("How it was made", _provenance(contents)),
    )
    body = "\n".join(f"## {title}\n\n{text}" for title, text in sections)
    return f"{_header(contents.sets)}\n# MoodArchive\n\n{body}"


def _header(sets: Mapping[str, Any]) -> str:
    """The hub's YAML; written by hand, because its order is for people."""
    samples = sum(of_set["samples"] for of_set in sets.values())
    size = next((name for below, name in _SIZES if samples < below), "n>100M")
    lines = [
        "---", "pretty_name: MoodArchive", "language:", "- en", "license: other", "license_name: each-image-its-own",
        "license_link: https://creativecommons.org/licenses/", "task_categories:", "- image-to-text",
        "- image-classification", "tags:", "- emotion", "- webdataset", "- croissant", "size_categories:", f"- {size}",
    ]  # fmt: skip
    public = [name for name in SETS if name in sets and name in _HUB_SPLITS]
    if public:
        lines += ["configs:", "- config_name: default", "  data_files:"]
        for name in public:
            lines += [f"  - split: {_HUB_SPLITS[name]}", f"    path: shards/{name}/*.tar"]
    return "\n".join([*lines, "---", ""])


def _sets_table(sets: Mapping[str, Any]) -> str:
    rows = [
        (f"`shards/{name}/`", sets[name]["shards"], sets[name]["samples"], _SET_NOTES[name])
        for name in SETS
        if name in sets
    ]
    return _table(("set", "shards", "samples", ""), rows)


def _flow(counts: Mapping[str, Any]) -> str:
    dropped = counts["selection"]["failures"]
    reasons = ", ".join(f"{_escape_cell(reason)} {number:,}" for reason, number in sorted(dropped.items())) or "none"
    return (
        f"Of {counts['items']['rows']:,} images that were found, {counts['shards']['rows']:,} are kept; dropped, by "
        f"reason: {reasons}.\n"
    )


def _licences(contents: Contents) -> str:
    """Images by licence with what each allows and asks, what each use may take, and what is to be said besides."""
    by_licence = [licence_row(name, count) for name, count in sorted(contents.licences.items())]
    public = sum(of_set["samples"] for name, of_set in contents.sets.items() if name != PRIVATE)
    uses = use_rows(contents.licences, public)
    return f"{_table(LICENCE_HEAD, by_licence)}\n{_table(USE_HEAD, uses)}\n{_OBLIGATIONS}"


def _provenance(contents: Contents) -> str:
    settings = json.dumps(contents.settings, indent=1, sort_keys=True, ensure_ascii=True)
    return (
        f"By MoodArchive {contents.code_version}, tables of schema version {contents.schema_version}, after the "
        f"recipe of the Moodifier paper (arXiv 2507.14024). The settings:\n\n```json\n{settings}\n```\n"
    )


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(map(_show, line))} |\n" for line in lines)


def _show(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else _escape_cell(value)


def _escape_cell(text: str) -> str:
    """Text of strangers as one cell: it can neither end the row nor bring markup of its own."""
    text = re.sub(r"\s+", " ", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
