"""Draws the caption study's items: stratified, seeded, with known inclusion probabilities, and extendable."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from moodarchive.errors import StudyError
from moodarchive.storage.store import Store
from moodarchive.tables.layout import DOUBTFUL
from validate.study.design.items import Item, read_items, write_items
from validate.study.design.study import CAPTIONS, StudyDesign, find_design, write_design
from validate.study.sampling.allocation import SMALLEST, allocate, draw_number, take_first
from validate.study.sampling.frame import Withholds, read_frame, read_texts, withhold_nothing
from validate.study.sampling.gold import make_gold

HELDOUT = "heldout"
_OWN_STRATA = (HELDOUT, DOUBTFUL)
_LEVELS = (("emotion", "context", "source"), ("emotion", "context"), ("emotion",), ())
"""Strata, finest first: the finest is used of which every stratum can give SMALLEST images."""


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """What a person may choose."""

    n: int = 10_000
    heldout: int = 5_000
    doubtful: int = 0
    workers: int = 5
    gold: float = 0.05
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class _Stratum:
    """Its images in their permanent order, and how many of the first are taken."""

    order: list[tuple[str, str]]
    taken: frozenset[str]


def sample(
    store: Store,
    options: SampleOptions,
    rejected: Collection[str] = (),
    *,
    is_withheld: Withholds = withhold_nothing,
) -> StudyDesign:
    """Draws, or extends what was drawn; asked items stay, with the texts that were asked about.

    ``rejected`` are held-out images that people did not verify: others are asked in their place; ``is_withheld`` tells
    which terms keep doubtful images out. StudyError when the call contradicts the study there is.
    """
    known = find_design(store, CAPTIONS)
    _refuse_other(known, options)
    earlier = read_items(store)
    with_doubtful = bool(options.doubtful) or any(item.is_doubtful for item in earlier)
    frame = read_frame(store, with_doubtful=with_doubtful, is_withheld=is_withheld)
    if not frame.table.num_rows:
        raise StudyError(f"{store.root} holds no image that a study may show; left out: {frame.left_out or 'none'}")
    rows = {row["key"]: row for row in frame.table.to_pylist()}
    levels = known.strata if known else _levels(rows.values(), options.n)
    asked = frozenset(item.key for item in earlier if not item.gold)
    strata = _strata(rows, levels, options, asked, frozenset(rejected))
    items = _with_inclusion(earlier, rows, strata)
    fresh = _fresh(store, rows, strata, asked, batch=len(known.batches) if known else 0)
    # everybody is asked the gold questions, so that none shows a doubtful picture
    items += fresh + make_gold([item for item in fresh if not item.is_doubtful], items, options)
    design = StudyDesign(
        kind=CAPTIONS,
        seed=options.seed,
        n=options.n,
        heldout=options.heldout,
        doubtful=options.doubtful,
        workers=options.workers,
        gold=options.gold,
        strata=levels,
        left_out=frame.left_out,
        batches=tuple(count for _, count in sorted(Counter(item.batch for item in items).items())),
        simulated=known.simulated if known else False,
    )
    write_items(store, items)
    write_design(store, design)
    return design


def _refuse_other(known: StudyDesign | None, options: SampleOptions) -> None:
    if known is None:
        return
    if known.seed != options.seed:
        raise StudyError(
            f"--seed {options.seed}: this study was drawn with seed {known.seed}; remedy: leave --seed as it was"
        )
    if options.n < known.n:
        raise StudyError(f"--n {options.n}: {known.n} were drawn already; remedy: give a larger number, or the same")


def _levels(rows: Collection[Mapping[str, Any]], n: int) -> tuple[str, ...]:
    for level in _LEVELS:
        strata = {tuple(row[name] for name in level) for row in rows if _own_stratum(row) is None}
        if len(strata) * SMALLEST <= n:
            return level
    return ()


def _own_stratum(row: Mapping[str, Any]) -> str | None:
    """The stratum of images that are drawn for themselves, beside those of the archive."""
    if row["doubtful"]:
        return DOUBTFUL
    return HELDOUT if row["split"] == HELDOUT else None


def _strata(
    rows: Mapping[str, Mapping[str, Any]],
    levels: tuple[str, ...],
    options: SampleOptions,
    asked: frozenset[str],
    rejected: frozenset[str],
) -> dict[str, _Stratum]:
    orders: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for key, row in rows.items():
        own = _own_stratum(row)
        if own == HELDOUT:
            # their content hash is a draw by lot, and the order in which MoodArchive-5k takes them
            orders[HELDOUT].append((row["hash"], key))
        else:
            name = own or " / ".join(str(row[level]) for level in levels) or "all"
            orders[name].append((draw_number(options.seed, key), key))
    wanted = allocate({name: len(order) for name, order in orders.items() if name not in _OWN_STRATA}, options.n)
    wanted[DOUBTFUL] = options.doubtful
    wanted[HELDOUT] = options.heldout + sum(key in rejected for _, key in orders.get(HELDOUT, []))
    return {
        name: _Stratum(order=order, taken=frozenset(take_first(sorted(order), wanted[name], asked)))
        for name, order in orders.items()
    }


def _with_inclusion(
    earlier: list[Item], rows: Mapping[str, Mapping[str, Any]], strata: Mapping[str, _Stratum]
) -> list[Item]:
    """What was asked before, with today's inclusion probabilities; one that left the archive keeps its old."""
    of_key = {key: name for name, stratum in strata.items() for key in stratum.taken}
    return [
        replace(
            item,
            stratum=of_key[item.key],
            population=len(strata[of_key[item.key]].order),
            sampled=len(strata[of_key[item.key]].taken),
        )
        if item.key in rows and item.key in of_key
        else item
        for item in earlier
    ]


def _fresh(
    store: Store,
    rows: Mapping[str, Mapping[str, Any]],
    strata: Mapping[str, _Stratum],
    asked: frozenset[str],
    batch: int,
) -> list[Item]:
    chosen = {key: name for name, stratum in strata.items() for key in stratum.taken - asked}
    shown = read_texts(store, sorted(chosen))
    return [
        _item(rows[key], shown[key], strata[name], name, batch)
        for key, name in sorted(chosen.items(), key=lambda pair: draw_number(batch, pair[0]))
    ]


def _item(row: Mapping[str, Any], shown: Mapping[str, Any], stratum: _Stratum, name: str, batch: int) -> Item:
    texts_of = {field: shown[field] for field in ("original", "summary", "assessment", "title", "creator")}
    links = {field: shown[field] for field in ("licence", "licence_url", "landing_url")}
    cell = {field: row[field] or "" for field in ("emotion", "context", "source", "split", "model")}
    return Item(
        item=row["key"],
        key=row["key"],
        part=row["part"],
        stratum=name,
        population=len(stratum.order),
        sampled=len(stratum.taken),
        batch=batch,
        gold=False,
        stimuli=tuple(shown["stimuli"]),
        **cell,
        **texts_of,
        **links,
    )
