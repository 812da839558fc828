"""Which pairs a set is to hold, in their order, and how the pictures of each are had."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moodarchive.emotions.taxonomy import MIKELS, MIKELS_EIGHT
from moodarchive.errors import DatasetError
from moodarchive.storage.store import Store
from moodarchive.tables.keys import canonical_json, digest, image_key
from moodarchive.tables.schemas import PAIR_REQUESTS, empty_row
from pipelines.editing.sets.emopair.choices import read_choices
from pipelines.editing.sets.emopair.json_form import read_json
from pipelines.editing.sets.emopair.settings import PairSettings, PairSource
from pipelines.editing.sets.parts import write_request_parts

_PAIRS_A_PLACE = 2
"""Drawn pairs of one place, in other moods"""
PICTURES = (".jpg", ".jpeg", ".png", ".webp")


def write_requests(store: Store, settings: PairSettings) -> list[int]:
    """Writes requests/ part by part, returns the parts; those made from the same settings and rows stay."""
    parts = write_request_parts(
        store,
        PAIR_REQUESTS,
        _numbered(settings),
        rows_per_part=settings.pairs_per_part,
        settings=digest(settings.recorded()),
    )
    if not parts:
        raise DatasetError("the sources hold no pair; remedy: a folder with pictures, or other sources")
    return parts


def _numbered(settings: PairSettings) -> Iterator[dict[str, Any]]:
    seen: dict[str, int] = {}
    number = 0
    for of, source in enumerate(settings.sources):
        for row in _READERS[source.kind](source, of, settings):
            identity = canonical_json([row["img_src_path"], row["img_tgt_path"], row["class_target"], row["prompt"]])
            repeat = seen[identity] = seen.get(identity, 0) + 1
            offered = {
                "source": source.kind,
                "creator": source.creator or None,
                "licence": source.licence or None,
                "licence_url": source.licence_url or None,
                "permitted": bool(source.permission),
            }
            own = {"key": image_key("emopair", f"{identity}\0{repeat}"), "number": number}
            yield empty_row(PAIR_REQUESTS, **(offered | row | own | {"recipe": canonical_json(row["recipe"])}))
            number += 1


def _published(source: PairSource, of: int, settings: PairSettings) -> Iterator[dict[str, Any]]:
    """The authors' own list; its pictures lie below ``folder``."""
    for entry in read_json(Path(source.json_file)):
        yield {
            **entry,
            "subset": entry["img_src_path"].partition("/")[0] if "/" in entry["img_src_path"] else "EPGS",
            "group": entry["img_src_path"],
            "recipe": {"files": [entry["img_src_path"], entry["img_tgt_path"]], "of": of},
        }


def _instruct_pix2pix(source: PairSource, of: int, settings: PairSettings) -> Iterator[dict[str, Any]]:
    """EPAS: each folder of InstructPix2Pix's set has prompt.json and pictures SEED_0.jpg and SEED_1.jpg."""
    top = _existing(source.folder)
    for folder in sorted(path.parent for path in top.rglob("prompt.json")):
        try:
            prompt = json.loads((folder / "prompt.json").read_bytes())["edit"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{folder / 'prompt.json'} names no edit: {error!r}") from None
        if not isinstance(prompt, str):
            raise DatasetError(f"{folder / 'prompt.json'}: edit is no text")
        for before in sorted(folder.glob("*_0.jpg")):
            after = before.with_name(before.name.replace("_0.jpg", "_1.jpg"))
            names = [path.relative_to(top).as_posix() for path in (before, after)]
            yield {
                "subset": "EPAS",
                "img_src_path": f"EPAS/ip2p_clip/{names[0]}",
                "img_tgt_path": f"EPAS/ip2p_clip/{names[1]}",
                "prompt": prompt,
                "class_target": None,
                "group": folder.relative_to(top).as_posix(),
                "recipe": {"files": names, "of": of},
            }


def _generated(source: PairSource, of: int, settings: PairSettings) -> Iterator[dict[str, Any]]:
    """EPGS: pictures of a folder, each with a class drawn by the seed and one of the class's kept instructions."""
    pictures = list_pictures(source.folder)
    instructions = read_instructions(Path(source.instructions), source.kept_instructions)
    for number in range(source.count):
        draw = random.Random(f"{settings.seed}/{number}")
        name = pictures[number % len(pictures)]
        target = draw.choice(sorted(instructions))
        stem = str(Path(name).with_suffix(""))
        yield {
            "subset": "EPGS",
            "img_src_path": f"EPGS/{name}",
            "img_tgt_path": f"EPGS/{stem}_{target}_{number}.jpg",
            "prompt": draw.choice(instructions[target]),
            "class_target": target,
            "group": name,
            "recipe": {"edit": name, "of": of, "seed": draw.randrange(1 << 31)},
        }


def _ranked(source: PairSource, of: int, settings: PairSettings) -> Iterator[dict[str, Any]]:
    """EPGS: of each record of a ranking study the candidate that people chose; a record without one is left out."""
    for choice in read_choices(_existing(source.folder), Path(source.ranked)):
        best = choice.chosen
        stem = str(Path(choice.group).with_suffix(""))
        yield {
            "subset": "EPGS",
            "img_src_path": f"EPGS/{choice.group}",
            "img_tgt_path": f"EPGS/{stem}_{choice.emotion}_{choice.key}.png",
            "prompt": "" if best is None else choice.texts[best],
            "class_target": choice.emotion,
            "group": choice.group,
            "recipe": {"ranked": best, "of": of}
            | ({} if best is None else {"files": [choice.source, choice.files[best]]}),
        }


def _drawn(source: PairSource, of: int, settings: PairSettings) -> Iterator[dict[str, Any]]:
    """Exact pairs: the same place in two moods of the demo's drawer; a mixed source lies halfway between two."""
    from pipelines.demo.pairs.drawing import CONTEXT_OF, KINDS, PAIRED_EMOTIONS
    from pipelines.demo.scenes.scene import cell_phrases

    for number in range(source.count):
        draw = random.Random(f"{settings.seed}/drawn/{number}")
        kind, place = KINDS[number % len(KINDS)], source.first_place + number // (_PAIRS_A_PLACE * len(KINDS))
        before, target, other = draw.sample(PAIRED_EMOTIONS, 3)
        second = other if draw.random() < source.mixed else ""
        classes = [MIKELS_EIGHT.index(MIKELS[name]) for name in (before, *([second] if second else []))]
        softmax = [classes.count(index) / len(classes) for index in range(len(MIKELS_EIGHT))]
        phrase = draw.choice(cell_phrases(target, CONTEXT_OF[kind]))
        yield {
            "subset": "drawn",
            "img_src_path": f"drawn/{kind}/{place}_{number}.png",
            "img_tgt_path": f"drawn/{kind}/{place}_{number}_{MIKELS[target]}.png",
            "prompt": f"make it evoke {MIKELS[target]}: {phrase}",
            "class_source": MIKELS[before],
            "class_target": MIKELS[target],
            "source_softmax": softmax,
            "group": f"{kind}/{place}",
            "recipe": {
                "drawn": [kind, place, source.size],
                "source": [before, draw.randrange(1 << 30), second],
                "target": [target, draw.randrange(1 << 30), ""],
            },
            "title": f"A drawn {kind}",
            "creator": source.creator or "MoodArchive",
            "licence": source.licence or "cc0 1.0",
            "licence_url": source.licence_url or "https://creativecommons.org/publicdomain/zero/1.0/",
        }


_READERS = {
    "emopair": _published,
    "instruct-pix2pix": _instruct_pix2pix,
    "generated": _generated,
    "ranked": _ranked,
    "drawn": _drawn,
}


def read_instructions(path: Path, kept: int) -> dict[str, list[str]]:
    """The best of each class, by score and then by text; DatasetError for another form or an unknown class.

    The file is an object: class → list of {"text": …, "score": …}; the score is people's, or an edit's own.
    """
    try:
        classes = json.loads(path.read_bytes())
        ranked = {
            name: sorted((-float(entry.get("score", 0)), str(entry["text"])) for entry in entries)
            for name, entries in classes.items()
        }
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} is no list of instructions: {error!r}"[:300]) from None
    if unknown := [name for name in ranked if name not in MIKELS_EIGHT]:
        raise DatasetError(f"{path}: {unknown[0]!r} is none of {', '.join(MIKELS_EIGHT)}")
    chosen = {name: [text for _, text in entries[:kept]] for name, entries in ranked.items() if entries}
    if not chosen:
        raise DatasetError(f"{path} holds no instruction")
    return chosen


def list_pictures(folder: str) -> list[str]:
    """The pictures below a folder, by their paths there, in order; DatasetError where there is none."""
    top = _existing(folder)
    names = sorted(path for path in top.rglob("*") if path.suffix.lower() in PICTURES)
    if not names:
        raise DatasetError(f"{folder} holds no picture ({', '.join(PICTURES)})")
    return [path.relative_to(top).as_posix() for path in names]


def _existing(folder: str) -> Path:
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise DatasetError(f"there is no folder {folder}; remedy: the data set itself, as docs/emoeditor.md names it")
    return path
