"""What people said of records: checks become a status with its reasons, rankings become scores of instructions."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from moodarchive.emotions.taxonomy import MIKELS, MIKELS_EIGHT
from moodarchive.errors import StudyError
from moodarchive.storage.store import Store
from validate.study.design.study import CHECKS, StudyDesign, folder, hash_worker
from validate.study.page.results import read_answers
from validate.study.records.items import RecordItem
from validate.study.records.questions import NONE, QUESTIONS, candidates_of, is_sound

ACCEPTED, REJECTED, OPEN = "accepted", "rejected", "open"


def import_record_answers(
    store: Store, design: StudyDesign, items: dict[str, RecordItem], ledger: Path
) -> dict[str, int]:
    """Takes in the page's answers as they are now; returns counts by kind. The same page gives the same file."""
    counts = Counter({"accepted": 0, "foreign": 0, "malformed": 0, "missing": 0})
    rows: list[dict[str, Any]] = []
    answered: Counter[str] = Counter()
    for stored in read_answers(ledger):
        item = items.get(stored.item)
        if item is None or not is_sound(design.kind, item, stored.answer):
            counts["foreign" if item is None else "malformed"] += 1
            continue
        counts["accepted"] += 1
        answered[stored.item] += 1
        worker = hash_worker(store, design.kind, stored.annotator)
        rows.append({"item": stored.item, "worker": worker, "answer": stored.answer})
    counts["missing"] = sum(max(0, design.workers - answered[item]) for item in items)
    store.write_bytes(_answers_path(design.kind), _lines(rows))
    return dict(counts)


def export_checks(store: Store, design: StudyDesign, items: dict[str, RecordItem]) -> list[dict[str, Any]]:
    """One row a record, also written to study/checks/checked.jsonl: ``key``, ``status``, ``reason``, ``checked_by``.

    A record is open until all its answers are there. A check fails unless more than half of the people say yes;
    ``reason`` names the failed checks.
    """
    given = _answers(store, design)
    rows = []
    for item in items.values():
        answers = given[item.item]
        failed = [name for name in QUESTIONS if 2 * sum(answer[name] for _, answer in answers) <= len(answers)]
        is_open = len(answers) < design.workers
        rows.append(
            {
                "key": item.key,
                "status": OPEN if is_open else REJECTED if failed else ACCEPTED,
                "reason": "" if is_open else ", ".join(failed),
                "checked_by": sorted(worker for worker, _ in answers),
            }
        )
    store.write_bytes(f"{folder(CHECKS)}/checked.jsonl", _lines(rows))
    return rows


def export_ranking(store: Store, design: StudyDesign, items: dict[str, RecordItem]) -> list[dict[str, Any]]:
    """One row a record, also written to study/ranking/ranked.jsonl: votes of each candidate, and of none.

    study/ranking/instructions.json has, for each of Mikels' eight, the candidates' texts with the share of the answers
    in which they were picked: what `moodarchive pairs build` reads.
    """
    given = _answers(store, design)
    rows = []
    picked: dict[tuple[str, str], int] = defaultdict(int)
    shown: dict[tuple[str, str], int] = defaultdict(int)
    for item in items.values():
        votes = Counter(answer["best"] for _, answer in given[item.item])
        counted = [votes[name] for name in candidates_of(item)]
        most = max(counted)
        best = counted.index(most) if most > votes[NONE] and counted.count(most) == 1 else None
        rows.append({"key": item.key, "votes": counted, "none": votes[NONE], "best": best})
        emotion = MIKELS.get(item.texts["emotion"], item.texts["emotion"])
        for text, count in zip(item.notes, counted, strict=True):
            picked[emotion, text] += count
            shown[emotion, text] += votes.total()
    classes: dict[str, list[dict[str, Any]]] = {}
    for (emotion, text), count in sorted(picked.items()):
        if emotion in MIKELS_EIGHT and shown[emotion, text]:
            classes.setdefault(emotion, []).append({"text": text, "score": count / shown[emotion, text]})
    store.write_bytes(f"{folder(design.kind)}/ranked.jsonl", _lines(rows))
    content = json.dumps(classes, indent=1, ensure_ascii=False) + "\n"
    store.write_bytes(f"{folder(design.kind)}/instructions.json", content.encode())
    return rows


def _answers(store: Store, design: StudyDesign) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Item → (worker, answer); StudyError while nobody has answered."""
    path = _answers_path(design.kind)
    given: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    lines = store.read_bytes(path).splitlines() if store.exists(path) else []
    for row in map(json.loads, lines):
        given[row["item"]].append((row["worker"], row["answer"]))
    if not given:
        raise StudyError(
            f"{store.root}: no answers yet; remedy: moodarchive study serve, then study import --from page, both with "
            f"--kind {design.kind}"
        )
    return given


def _answers_path(kind: str) -> str:
    return f"{folder(kind)}/answers.jsonl"


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n" for row in rows).encode()
