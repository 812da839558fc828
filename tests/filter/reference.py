"""The cut once more, in plain Python, to hold the real one against; and pictures' rows to judge."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import floor
from random import Random
from typing import NamedTuple

import numpy as np

from filter.cut import CutSettings
from moodarchive.emotions.taxonomy import CONTEXTS, EMOTIONS
from moodarchive.storage.store import Store
from moodarchive.tables.keys import image_key
from moodarchive.tables.schemas import REDISCOVERED
from tests.making import IMAGE_TABLES, Row, write_rows


@dataclass(frozen=True, kw_only=True)
class Case:
    """One image as the tables before the cut tell it."""

    name: str
    round: int = 0
    emotion: str = "joy"
    context: str = "natural_scenery"
    score: float = 0.25
    phash: int = 0
    share: float = 0.9
    area: int = 10_000
    fate: str = "ok"
    others: tuple[tuple[str, float], ...] = ()
    """Scores of other emotions."""
    again: tuple[tuple[int, tuple[tuple[str, str], ...]], ...] = ()
    """Later rounds that found it anew, each with the (emotion, context) of its queries, best rank first."""

    @property
    def key(self) -> str:
        return image_key("stock", self.name)

    @property
    def sha256(self) -> str:
        """A content hash that lies at this share of all hashes."""
        return f"{int(self.share * 2**48):012x}{self.key}".ljust(64, "0")

    def rows(self) -> dict[str, Row]:
        """Table name → row. ``fate`` names the failure, or ``unsafe``, or ``ok``."""
        stages = ["failed_download", "failed_safety", "unsafe", "failed_caption", "failed_score", "ok"]
        reached = stages.index(self.fate)

        def outcome(failing: str, good: Row) -> Row:
            at = stages.index(failing)
            if reached == at:
                return {"key": self.key, "status": "failed", "error": "some_kind"}
            return {"key": self.key, **good, "status": "ok"} if reached > at else {"key": self.key, "status": "skipped"}

        cell = {"emotion": self.emotion, "context": self.context}
        verdict = "unsafe" if self.fate == "unsafe" else "safe"
        picture = {
            "sha256": self.sha256, "phash": self.phash, "original_width": self.area // 10, "original_height": 10,
        }  # fmt: skip
        caption = outcome("failed_caption", {"summary": "s"})
        if self.fate == "unsafe":
            caption = {"key": self.key, "status": "skipped"}
        return {
            "items": {"key": self.key, "round": self.round, "queries": [{**cell, "phrase": "p", "rank": 0}]},
            "images": outcome("failed_download", picture),
            "safety": outcome("failed_safety", {"nsfw": 0.5, "verdict": verdict}),
            "captions": caption,
            "scores": outcome("failed_score", {"score": self.score, "phrase": "p", **cell, **self._every_emotion()}),
        }

    def _every_emotion(self) -> Row:
        known = {**dict(self.others), self.emotion: self.score}
        return {
            "emotion_scores": [known.get(emotion, -1.0) for emotion in EMOTIONS],
            "emotion_phrases": [f"of {emotion}" for emotion in EMOTIONS],
        }

    def found_anew(self) -> dict[int, Row]:
        """Later round → its row of rediscovered/."""
        return {
            number: {
                "key": self.key, "round": number,
                "queries": [{"emotion": e, "context": c, "phrase": "q", "rank": i} for i, (e, c) in enumerate(cells)],
            }
            for number, cells in self.again
        }  # fmt: skip

    def records(self) -> "list[Record]":
        """Each round in which it beat all its scores before, the first round first."""
        found = [Record(self.round, self.emotion, self.context, self.score)]
        known = {**dict(self.others), self.emotion: self.score}
        for number, cells in sorted(self.again):
            best = max({emotion for emotion, _ in cells}, key=lambda emotion: (np.float32(known[emotion]), emotion))
            if np.float32(known[best]) > np.float32(found[-1].score):
                context = next(context for emotion, context in cells if emotion == best)
                found.append(Record(number, best, context, known[best]))
        return found


class Record(NamedTuple):
    """The round, the cell and the score under which an image is judged, until it is found under a better emotion."""

    round: int
    emotion: str
    context: str
    score: float


def write_cases(store: Store, cases: list[Case], parts: int = 3) -> list[int]:
    """Spreads the cases over parts, rounds in order as a real archive has them; returns the part numbers."""
    items: dict[int, list[Case]] = {}
    for number in sorted({case.round for case in cases}):
        first = len(items)
        items |= {first + i: [] for i in range(parts)}
        for case in cases:
            if case.round == number:
                items[first + int(case.key, 16) % parts].append(case)
    for part, mine in items.items():
        rows = [case.rows() for case in sorted(mine, key=lambda case: case.key)]
        for table in IMAGE_TABLES[:-1]:
            write_rows(store, table, part, [row[table.name] for row in rows])
    for number in {case.round for case in cases}:
        anew = sorted((case.key, case.found_anew()[number]) for case in cases if number in case.found_anew())
        write_rows(store, REDISCOVERED, number, [row for _, row in anew])
    return sorted(items)


def clustered_hashes(count: int, seed: int) -> list[int]:
    """Half random, half within a few bits of one another, so that chains of likeness are frequent."""
    random = Random(seed)
    centres = [random.getrandbits(64) for _ in range(count // 8)]
    hashes = [random.getrandbits(64) for _ in range(count // 2)]
    while len(hashes) < count:
        flipped = random.choice(centres)
        for _ in range(random.randrange(5)):
            flipped ^= 1 << random.randrange(64)
        hashes.append(flipped)
    random.shuffle(hashes)
    return hashes


def repeats_of(hashes: list[int]) -> dict[int, int]:
    """Place → the first surviving place within three bits, by comparing all with all."""
    values = np.array(hashes, dtype=np.uint64)
    found: dict[int, int] = {}
    for place in range(len(hashes)):
        near = np.bitwise_count(values[:place] ^ values[place]) <= 3
        survivors = [int(earlier) for earlier in np.flatnonzero(near) if int(earlier) not in found]
        if survivors:
            found[place] = survivors[0]
    return found


@dataclass
class Verdicts:
    """What the cut must say: key → reason (None: kept), key → split, and key → emotion and context."""

    reasons: dict[str, str | None] = field(default_factory=dict)
    splits: dict[str, str | None] = field(default_factory=dict)
    cells: dict[str, tuple[str, str]] = field(default_factory=dict)


def _split(case: Case, settings: CutSettings) -> str | None:
    if case.fate == "failed_download":
        return None
    share = int(case.sha256[:12], 16) / 2**48
    return (
        "heldout"
        if share < settings.heldout
        else "validation"
        if share < settings.heldout + settings.validation
        else "train"
    )


def judged(cases: list[Case], settings: CutSettings) -> Verdicts:
    """The verdicts by the rules, rule after rule."""
    found = Verdicts(splits={case.key: _split(case, settings) for case in cases})
    found.reasons = {case.key: None if case.fate == "ok" else case.fate for case in cases}
    sound = [case for case in cases if case.fate == "ok"]
    sound.sort(key=lambda c: (c.round, found.splits[c.key] != "heldout", -c.area, c.key))
    for place, of in repeats_of([case.phash for case in sound]).items():
        near_heldout = found.splits[sound[of].key] == "heldout" != found.splits[sound[place].key]
        found.reasons[sound[place].key] = "near_heldout" if near_heldout else "repeat"
    survivors = [case for case in sound if found.reasons[case.key] is None]
    by_cell, apart = settings.scope == "cell", settings.rounds == "apart"
    found.cells = {case.key: (case.emotion, case.context) for case in cases}
    found.cells |= {case.key: case.records()[-1][1:3] for case in survivors}
    members = [(case.key, record) for case in survivors for record in case.records()[0 if apart else -1 :]]
    members.sort(key=lambda member: (np.float32(member[1].score), member[0]))

    def groups(name: Callable[[Record], tuple[object, ...]]) -> dict[tuple[object, ...], list[Member]]:
        of: dict[tuple[object, ...], list[Member]] = defaultdict(list)
        for member in members:
            of[name(member[1])].append(member)
        return of

    def judged_in(record: Record) -> int:
        return record.round if apart else 0

    narrow = groups(lambda r: (judged_in(r), r.emotion, r.context) if by_cell else (judged_in(r),))
    wide = groups(lambda r: (judged_in(r), r.emotion) if by_cell else (judged_in(r),))
    cells = groups(lambda r: (judged_in(r), r.emotion, r.context))
    safe = {member for of in cells.values() for member in of[max(0, len(of) - settings.floor) :]}
    low: set[Member] = set()
    for cell, of in narrow.items():
        pool = of if len(of) >= settings.smallest_cell else wide[cell[:2] if by_cell else cell]
        lowest = set(pool[: floor(Fraction(str(settings.percentile)) * len(pool) / 100)]) - safe
        low |= lowest.intersection(of)
    found.reasons |= {case.key: "low_score" for case in survivors if (case.key, case.records()[-1]) in low}
    return found


Member = tuple[str, Record]


def crowd(count: int, seed: int = 0) -> list[Case]:
    """Images of three rounds and cells large and small, with ties, failures and look-alikes."""
    random = Random(seed)
    fates = ["failed_download", "failed_safety", "unsafe", "failed_caption", "failed_score"]
    cells = [("joy", context) for context in CONTEXTS] + [("fear", context) for context in CONTEXTS[:2]]
    hashes = clustered_hashes(count, seed)
    return [
        Case(
            name=str(number),
            round=random.choices([0, 1, 2], [5, 4, 1])[0],
            emotion=(cell := random.choices(cells, [20, 10, 1, 0.3, 5, 0.3])[0])[0],
            context=cell[1],
            score=random.choice([0.2, 0.21, round(random.uniform(0.1, 0.4), 5)]),
            phash=hashes[number],
            share=random.random(),
            area=random.choice([10_000, 20_000, 30_000]),
            fate=random.choice(fates) if random.random() < 0.15 else "ok",
        )
        for number in range(count)
    ]


def crowd_found_again(count: int, seed: int = 0) -> list[Case]:
    """A crowd of which later rounds find many images anew, under better emotions, worse ones and the same."""
    random = Random(seed + 1)
    emotions = ["joy", "fear", "love", "grief"]
    found = []
    for case in crowd(count, seed):
        scores = {name: random.choice([0.2, 0.25, case.score, round(random.uniform(0.1, 0.4), 5)]) for name in emotions}
        del scores[case.emotion]
        again = tuple(
            (number, tuple((random.choice(emotions), random.choice(CONTEXTS[:2])) for _ in range(random.randint(1, 3))))
            for number in range(case.round + 1, 3)
            if random.random() < 0.5
        )
        found.append(replace(case, others=tuple(scores.items()), again=again))
    return found
