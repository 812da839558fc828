"""Holds the planted faults against what the archive says of them: every kind planted, every one handled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from moodarchive.storage.store import Store
from moodarchive.tables.keys import image_key
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import IMAGES, SCORES, SELECTION
from moodarchive.tables.sql import connect, view
from pipelines.demo.stock_site.catalogue import FAULT_RATES, StockPicture

REPEATS = ("repeat", "near_heldout")


@dataclass(frozen=True, kw_only=True)
class FaultReport:
    """One kind of fault: how many were planted, how many ended as they must, and how that is."""

    kind: str
    planted: int
    handled: int
    ended_as: str


@dataclass(frozen=True)
class _Fate:
    status: str
    error: str | None
    kept: bool
    reason: str | None
    scored: bool


def report_faults(store: Store, pictures: Sequence[StockPicture]) -> list[FaultReport]:
    """One line a kind of fault. Only pictures that a search can find are planted, and all of them are found."""
    fates = _fates(store)
    by_id = {picture.id: fates.get(image_key("openverse", picture.id)) for picture in pictures}
    reports = []
    for kind in FAULT_RATES:
        planted = [picture for picture in pictures if picture.fault == kind]
        judge, ended_as = _JUDGES[kind]
        handled = [picture for picture in planted if judge(by_id[picture.id], by_id.get(picture.copy_of))]
        if kind == "wrong_title":
            cut = sum(fate is not None and fate.reason == "low_score" for fate in (by_id[p.id] for p in planted))
            ended_as = f"{ended_as}; {cut} of {len(planted)} among the fifth that is cut"
        reports.append(FaultReport(kind=kind, planted=len(planted), handled=len(handled), ended_as=ended_as))
    return reports


def _fates(store: Store) -> dict[str, _Fate]:
    parts = list(finished_parts(store, SELECTION))
    with connect(store) as connection:
        view(connection, store, IMAGES, parts, "key, status, error")
        view(connection, store, SELECTION, parts, "key, kept, reason")
        view(connection, store, SCORES, parts, "key, score")
        rows: list[tuple[Any, ...]] = connection.execute(
            "SELECT key, status, error, kept, reason, score IS NOT NULL FROM images JOIN selection USING (key) "
            "JOIN scores USING (key)"
        ).fetchall()
    return {row[0]: _Fate(*row[1:]) for row in rows}


_Judge = Callable[[_Fate | None, _Fate | None], bool]


def _failed_as(*kinds: str) -> tuple[_Judge, str]:
    return (lambda fate, _: fate is not None and fate.error in kinds), f"failed: {' or '.join(kinds)}"


def _one_of_the_pair_dropped(fate: _Fate | None, original: _Fate | None) -> bool:
    reasons = [one.reason for one in (fate, original) if one is not None]
    return len(reasons) == 2 and sum(reason in REPEATS for reason in reasons) == 1


_JUDGES: dict[str, tuple[_Judge, str]] = {
    "corrupt": _failed_as("corrupt_image", "not_an_image", "truncated"),
    "truncated": _failed_as("truncated"),
    "html": _failed_as("not_an_image"),
    "bomb": _failed_as("too_many_pixels"),
    "redirect_port": _failed_as("forbidden_address"),
    "redirect_file": _failed_as("forbidden_scheme"),
    "missing": _failed_as("http_404"),
    "busy": ((lambda fate, _: fate is not None and fate.status == "ok"), "fetched after the wait it asked for"),
    "endless": _failed_as("deadline"),
    "exact_copy": (_one_of_the_pair_dropped, "one of the two dropped as a repeat"),
    "reencoded_copy": (_one_of_the_pair_dropped, "one of the two dropped as a repeat"),
    "wrong_title": ((lambda fate, _: fate is not None and fate.scored), "scored and judged"),
}
