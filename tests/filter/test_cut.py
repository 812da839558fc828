"""The cut says of every image what the rules say, in its own part, and knows when it must be made again."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from filter.cut import CutSettings, cut, is_cut_current
from moodarchive.emotions.taxonomy import CONTEXTS
from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import CAPTIONS, IMAGES, ITEMS, REDISCOVERED, SAFETY, SCORES, SELECTION, Table
from tests.filter.reference import Case, crowd, crowd_found_again, judged, write_cases
from tests.making import Row, rows_of, write_earlier_rows, write_rows

SETTINGS = CutSettings(heldout=0.05, validation=0.05)
WHOLE = CutSettings(percentile=0, heldout=0.05, validation=0.05)


def _cut(store: Store, cases: list[Case], settings: CutSettings) -> dict[str, Row]:
    parts = write_cases(store, cases)
    cut(store, settings, parts, _rounds(cases))
    return {row["key"]: row for part in parts for row in rows_of(store, SELECTION, part)}


def _rounds(cases: list[Case]) -> list[int]:
    return sorted({case.round for case in cases})


def _reasons(store: Store, cases: list[Case], settings: CutSettings = WHOLE) -> list[str | None]:
    rows = _cut(store, cases, settings)
    return [rows[case.key]["reason"] for case in cases]


def _apart(count: int, **more: Any) -> list[Case]:
    """Images that look nothing alike."""
    hashes = [i * 0x0123_4567_89AB_CDEF % 2**64 for i in range(count)]
    return [replace(Case(name=f"{i} {sorted(more)}", phash=phash), **more) for i, phash in enumerate(hashes)]


RULES = pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        SETTINGS.model_copy(update={"scope": "global"}),
        SETTINGS.model_copy(update={"percentile": 0.0}),
        SETTINGS.model_copy(update={"percentile": 29.0, "smallest_cell": 100}),
        CutSettings(heldout=0.0, validation=0.3, smallest_cell=1),
        SETTINGS.model_copy(update={"rounds": "together"}),
        SETTINGS.model_copy(update={"rounds": "together", "scope": "global", "floor": 40}),
        SETTINGS.model_copy(update={"percentile": 60.0, "floor": 25}),
    ],
    ids=[
        "default",
        "global",
        "nothing cut",
        "29 percent, larger cells",
        "none held out",
        "rounds together",
        "global and together with floors",
        "60 percent with floors",
    ],
)


@RULES
def test_the_cut_of_3000_images_is_what_the_rules_say(store: Store, settings: CutSettings) -> None:
    cases = crowd(3000)
    expected = judged(cases, settings)
    rows = _cut(store, cases, settings)
    assert {key: row["reason"] for key, row in rows.items()} == expected.reasons
    assert {key: row["split"] for key, row in rows.items()} == expected.splits
    assert all(row["kept"] == (row["reason"] is None) for row in rows.values())
    seen = Counter(expected.reasons.values())
    wanted = {None, "repeat", "unsafe", "failed_download", "failed_safety", "failed_caption", "failed_score"}
    assert wanted | ({"low_score"} if settings.percentile else set()) <= set(seen)
    assert (seen["near_heldout"] > 0) == (settings.heldout > 0)


@RULES
def test_images_found_again_are_judged_under_their_best_emotion(store: Store, settings: CutSettings) -> None:
    cases = crowd_found_again(900)
    expected = judged(cases, settings)
    rows = _cut(store, cases, settings)
    assert {key: row["reason"] for key, row in rows.items()} == expected.reasons
    assert {key: (row["emotion"], row["context"]) for key, row in rows.items()} == expected.cells
    assert sum(expected.cells[case.key][0] != case.emotion for case in cases) > 60
    assert sum(len(case.records()) > 2 for case in cases) > 2


def test_every_part_has_the_keys_of_dealt(store: Store) -> None:
    parts = write_cases(store, crowd(600))
    cut(store, SETTINGS, parts)
    for part in parts:
        items = [row["key"] for row in rows_of(store, ITEMS, part)]
        assert [row["key"] for row in rows_of(store, SELECTION, part)] == items
    by_reason: Counter[str] = Counter()
    for sidecar in finished_parts(store, SELECTION).values():
        by_reason.update(sidecar.failures)
    assert by_reason["low_score"] > 0


def test_the_bytes_of_two_cuts_are_equal(store: Store) -> None:
    parts = write_cases(store, crowd(600))
    digests = []
    for _ in range(2):
        cut(store, SETTINGS, parts)
        digests.append([finished_parts(store, SELECTION)[part].sha256 for part in parts])
    assert digests[0] == digests[1]


def test_a_later_round_changes_only_what_it_finds_under_a_better_emotion(store: Store) -> None:
    cases = crowd_found_again(900, seed=4)
    late = _cut(store, cases, SETTINGS)
    known = {case.round for case in cases if case.round < 2}
    early = [replace(c, again=tuple(a for a in c.again if a[0] in known)) for c in cases if c.round in known]
    for table in (ITEMS, IMAGES, SAFETY, CAPTIONS, SCORES, SELECTION, REDISCOVERED):
        store.fs.rm(store.path(table.name), recursive=True)
    soon = _cut(store, early, SETTINGS)
    records = {case.key: case.records()[-1].round for case in cases}
    unlike = {key for key, row in soon.items() if late[key] != row}
    assert unlike and {records[key] for key in unlike} == {2}


def test_of_equal_scores_the_earlier_round_stays(store: Store) -> None:
    case = Case(name="a", emotion="fear", others=(("joy", 0.25),), again=((1, (("joy", CONTEXTS[1]),)),))
    rows = _cut(store, [case, Case(name="later", round=1, phash=2**63 + 77)], WHOLE)
    assert (rows[case.key]["emotion"], rows[case.key]["context"]) == ("fear", case.context)


def test_a_round_whose_parts_are_not_judged_does_not_count(store: Store) -> None:
    case = Case(name="a", others=(("love", 0.4),), again=((1, (("love", CONTEXTS[1]),)),))
    parts = write_cases(store, [case, Case(name="b", round=1, phash=2**63 + 77)])
    cut(store, WHOLE, parts[:3], [0])
    first = {row["key"]: row for part in parts[:3] for row in rows_of(store, SELECTION, part)}
    assert first[case.key]["emotion"] == "joy"
    assert is_cut_current(store, WHOLE, parts[:3], [0]) and not is_cut_current(store, WHOLE, parts[:3], [0, 1])
    cut(store, WHOLE, parts, [0, 1])
    both = {row["key"]: row for part in parts for row in rows_of(store, SELECTION, part)}
    assert (both[case.key]["emotion"], both[case.key]["context"]) == ("love", CONTEXTS[1])
    assert both[case.key]["round"] == 0


def test_earlier_verdicts_stay_when_a_round_comes(store: Store) -> None:
    cases = crowd(1200)
    rows = _cut(store, cases, SETTINGS)
    early = [case for case in cases if case.round < 2]
    before = judged(early, SETTINGS).reasons
    assert {key: rows[key]["reason"] for key in before} == before


@pytest.mark.parametrize(("percentile", "size", "dropped"), [(20, 24, 4), (20, 25, 5), (29, 100, 29), (0, 30, 0)])
def test_the_lowest_of_a_cell_go_rounded_down(store: Store, percentile: float, size: int, dropped: int) -> None:
    cases = [replace(case, score=0.2 + i / 1000) for i, case in enumerate(_apart(size))]
    settings = CutSettings(percentile=percentile, heldout=0)
    assert _reasons(store, cases, settings) == ["low_score"] * dropped + [None] * (size - dropped)


def test_a_rare_cell_keeps_its_floor(store: Store) -> None:
    rare = [replace(case, score=0.01 * i, emotion="fear") for i, case in enumerate(_apart(8))]
    many = [replace(case, score=0.2 + i / 1000, phash=case.phash ^ 2**40 - 1) for i, case in enumerate(_apart(60))]
    many = [replace(case, name=f"many {i}") for i, case in enumerate(many)]
    settings = CutSettings(percentile=50, smallest_cell=1, floor=6, heldout=0)
    reasons = _reasons(store, [*rare, *many], settings)
    assert reasons[:8] == ["low_score"] * 2 + [None] * 6
    assert Counter(reasons[8:]) == {"low_score": 30, None: 30}


def test_rounds_judged_together_lose_the_lowest_of_all(store: Store) -> None:
    first = [replace(case, score=0.1 + i / 1000) for i, case in enumerate(_apart(20))]
    second = [
        replace(case, round=1, score=0.5 + i / 1000, phash=case.phash ^ 2**40 - 1) for i, case in enumerate(first)
    ]
    second = [replace(case, name=f"second {i}") for i, case in enumerate(second)]
    assert Counter(_reasons(store, [*first, *second], CutSettings(heldout=0))[:20])["low_score"] == 4
    together = CutSettings(heldout=0, rounds="together")
    assert _reasons(store, [*first, *second], together) == ["low_score"] * 8 + [None] * 32


def test_of_equal_scores_the_smaller_keys_go(store: Store) -> None:
    cases = sorted(_apart(20), key=lambda case: case.key)
    assert _reasons(store, cases, CutSettings(heldout=0)) == ["low_score"] * 4 + [None] * 16


def test_a_small_cell_is_judged_with_the_other_contexts_of_its_emotion(store: Store) -> None:
    large = [replace(case, score=0.30 + i / 1000) for i, case in enumerate(_apart(21))]
    small = [replace(case, score=0.01 * i) for i, case in enumerate(_apart(4, context="urban_scenery", phash=0))]
    small = [replace(case, phash=2**63 + 0x1111 * 7**i) for i, case in enumerate(small)]
    other = [replace(case, phash=case.phash ^ 2**40 - 1) for case in _apart(30, emotion="fear", score=0.9)]
    reasons = _reasons(store, [*large, *small, *other], CutSettings(heldout=0))
    assert reasons[21:25] == ["low_score"] * 4, "the five lowest of the emotion's 25 hold all four"
    assert reasons[:21] == ["low_score"] * 4 + [None] * 17, "the large cell is judged alone"


def test_an_exact_repeat_of_a_kept_image_is_cut_and_the_larger_one_stays(store: Store) -> None:
    cases = [Case(name="small", area=10_000), Case(name="large", area=20_000)]
    assert _reasons(store, cases) == ["repeat", None]


def test_the_earlier_round_survives_even_when_smaller(store: Store) -> None:
    assert _reasons(store, [Case(name="a", round=1, area=90_000), Case(name="b", round=0)]) == ["repeat", None]


def test_only_survivors_make_repeats(store: Store) -> None:
    chain = [Case(name="a", area=30_000), Case(name="b", area=20_000, phash=0b111), Case(name="c", phash=0b111111)]
    assert _reasons(store, chain) == [None, "repeat", None]


def test_what_fell_before_makes_no_repeats(store: Store) -> None:
    cases = [
        Case(name="a", area=30_000, fate="unsafe"),
        Case(name="b", area=20_000, fate="failed_caption"),
        Case(name="c"),
    ]
    assert _reasons(store, cases) == ["unsafe", "failed_caption", None]


def test_a_held_out_image_survives_its_larger_like_and_training_loses_it(store: Store) -> None:
    train, held = Case(name="train", share=0.5, area=90_000), Case(name="held", share=0.01, phash=0b1)
    also_held = Case(name="also", share=0.02, phash=0b10, area=5_000)
    rows = _cut(store, [train, held, also_held], WHOLE)
    assert [(rows[c.key]["reason"], rows[c.key]["split"]) for c in (train, held, also_held)] == [
        ("near_heldout", "train"),
        (None, "heldout"),
        ("repeat", "heldout"),
    ]


def test_splits_follow_the_content_hash_in_the_wanted_shares(store: Store) -> None:
    shares = [0.0, 0.0499, 0.0501, 0.0999, 0.1001, 0.5, 0.9999]
    cases = [replace(case, share=share) for case, share in zip(_apart(7), shares, strict=True)]
    rows = _cut(store, cases, WHOLE)
    expected = ["heldout"] * 2 + ["validation"] * 2 + ["train"] * 3
    assert [rows[case.key]["split"] for case in cases] == expected


@pytest.mark.parametrize("nudity", [None, False, True])
@pytest.mark.parametrize("gore", [None, False, True])
@pytest.mark.parametrize("classified", ["safe", "doubtful", "unsafe", None])
def test_the_captioners_yes_makes_a_safe_picture_doubtful_and_nothing_else_changes_a_verdict(
    store: Store, classified: str | None, nudity: bool | None, gore: bool | None
) -> None:
    parts = write_cases(store, _apart(6))
    changed = rows_of(store, CAPTIONS, 1)[0]["key"]
    for table, values in ((SAFETY, {"verdict": classified}), (CAPTIONS, {"nudity": nudity, "gore": gore})):
        rows = [row | values if row["key"] == changed else row for row in rows_of(store, table, 1)]
        write_rows(store, table, 1, rows)
    cut(store, SETTINGS, parts)
    verdicts = {row["key"]: row["verdict"] for part in parts for row in rows_of(store, SELECTION, part)}
    assert verdicts.pop(changed) == ("doubtful" if classified == "safe" and (nudity or gore) else classified)
    assert set(verdicts.values()) == {"safe"}


def test_captions_of_an_earlier_release_change_no_verdict_beside_those_of_this_one(store: Store) -> None:
    parts = write_cases(store, _apart(30))
    rows = rows_of(store, CAPTIONS, 1)
    write_rows(store, CAPTIONS, 1, [row | {"gore": True} for row in rows])
    for part in (0, 2):
        write_earlier_rows(store, CAPTIONS, part)
    cut(store, SETTINGS, parts)
    verdicts = {part: {row["verdict"] for row in rows_of(store, SELECTION, part)} for part in parts}
    assert verdicts == {0: {"safe"}, 1: {"doubtful"}, 2: {"safe"}}
    flagged = sum(row["kept"] for row in rows_of(store, SELECTION, 1))
    sidecar = finished_parts(store, SELECTION)[1]
    assert sidecar.doubtful == sidecar.doubts == flagged and "doubtful" not in sidecar.failures


CHANGES: list[tuple[Table, Row]] = [
    (ITEMS, {"title": "another"}),
    (IMAGES, {"phash": 99}),
    (SAFETY, {"nsfw": 0.75}),
    (CAPTIONS, {"summary": "another"}),
    (SCORES, {"score": 0.9}),
]


@pytest.mark.parametrize(("table", "change"), CHANGES, ids=[table.name for table, _ in CHANGES])
def test_any_changed_input_makes_the_cut_stale(store: Store, table: Table, change: Row) -> None:
    parts = write_cases(store, _apart(30))
    assert not is_cut_current(store, SETTINGS, parts)
    cut(store, SETTINGS, parts)
    assert is_cut_current(store, SETTINGS, parts)
    assert not is_cut_current(store, SETTINGS.model_copy(update={"percentile": 5.0}), parts)
    assert not is_cut_current(store, SETTINGS, parts[:-1])
    rows = rows_of(store, table, 1)
    write_rows(store, table, 1, [{**rows[0], **change}, *rows[1:]])
    assert not is_cut_current(store, SETTINGS, parts)
    cut(store, SETTINGS, parts)
    assert is_cut_current(store, SETTINGS, parts)
