"""A study of 10,000 images with five answers each: import and report, by the command line, against a minute."""

import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

HOUSE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOUSE))

from moodarchive.storage.store import Store  # noqa: E402
from tests.validate.study.archives import study_archive  # noqa: E402
from validate.study.answers.importing import RawAnswer  # noqa: E402
from validate.study.design.items import read_items  # noqa: E402
from validate.study.design.order import generated_first  # noqa: E402
from validate.study.design.study import CAPTIONS, StudyDesign, read_design  # noqa: E402
from validate.study.sampling.sample import SampleOptions, sample  # noqa: E402
from validate.study.simulation.rehearsal import simulate_rows  # noqa: E402
from validate.study.simulation.workers import CREW  # noqa: E402

ITEMS, WORKERS, LIMIT_S = 10_000, 5, 60.0
IMAGES = 10_500
"""Some have licences that a study may not show."""
CREW_OF_MANY = tuple(replace(worker, name=f"{worker.name}-{number}") for number in range(12) for worker in CREW)


def _results(path: Path, rows: list[RawAnswer], design: StudyDesign) -> None:
    """Batch results as MTurk's website gives them."""
    says = {True: "yes", False: "no"}
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        answers = [f"Answer.c{number}" for number in range(1, 6)]
        writer.writerow(["AssignmentId", "WorkerId", "AcceptTime", "SubmitTime", "Input.item", "Answer.choice",
                         "Answer.flipped", "Answer.reason", "Answer.comment", *answers])  # fmt: skip
        for row in rows:
            first = generated_first(design.seed, str(row.item))
            places = {"generated": "first" if first else "second", "original": "second" if first else "first"}
            times = [time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(at)) for at in (row.began, row.submitted)]  # type: ignore[arg-type]
            flipped = "0" if row.left == first else "1"
            writer.writerow([row.assignment, row.worker, *times, row.item, places.get(str(row.choice), "neither"),
                             flipped, row.reason or "none", "", *(says[one] for one in row.accurate)])  # type: ignore[attr-defined]  # fmt: skip


def _time(*words: str) -> tuple[float, str]:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "moodarchive", "study", *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=HOUSE,
    )
    return time.monotonic() - began, done.stdout.strip()


def main() -> None:
    """Generates (untimed), imports, reports, prints the claim."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"{folder}/root")
        study_archive(store, images=IMAGES)
        sample(store, SampleOptions(n=ITEMS, heldout=ITEMS // 6, workers=WORKERS))
        design, items = read_design(store, CAPTIONS), read_items(store)
        rows = list(simulate_rows(items, WORKERS, 0, CREW_OF_MANY))
        _results(Path(folder) / "batch.csv", rows, design)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        importing, imported = _time("import", store.root, "--from", "mturk", "--file", f"{folder}/batch.csv")
        assert f"accepted {len(rows)}," in imported, imported
        reporting, verdict = _time("report", store.root)
    print(f"{len(items)} items, {len(rows)} answers of {len(CREW_OF_MANY)} simulated workers", file=sys.stderr)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = spent.ru_utime + spent.ru_stime - before.ru_utime - before.ru_stime
    print(f"import {importing:.1f} s, report {reporting:.1f} s; {verdict.splitlines()[0]}", file=sys.stderr)
    print(f"processor time of both {processor:.1f} s, load {os.getloadavg()[0]:.0f}", file=sys.stderr)
    ours = importing + reporting
    claim = {
        "claim": f"{ITEMS} items x {WORKERS} workers: import and report", "ours": round(ours, 1), "peer": LIMIT_S,
        "unit": "s", "ratio": round(LIMIT_S / ours, 2), "bar": 1.0, "met": ours <= LIMIT_S,
    }  # fmt: skip
    print(json.dumps(claim))
    print(json.dumps(claim))


if __name__ == "__main__":
    main()
