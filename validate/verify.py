"""Proves a sealed archive whole: every file, count, digest, picture and caption is what the manifest says."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from moodarchive.archive.manifest import ArchiveManifest
from moodarchive.archive.version import require_current_version
from moodarchive.errors import NotAnArchiveError
from moodarchive.running.parallel_map import Spread, in_threads
from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH, VERIFIED_FOLDER
from moodarchive.tables.parts import Sidecar
from moodarchive.tables.schemas import SHARD_INDEX
from validate.attribution import attribution_problems
from validate.contents import PublishingRule, part_problems
from validate.history import history_problems, verdict_problems
from validate.pruning import pruning_problems
from validate.repeats import repeat_problems
from validate.study.verdicts.verified_set import find_problems
from validate.takedowns import takedown_problems, unfinished_takedowns
from validate.totals import provenance_problems, stale_parts, total_problems, unequal_parts

FREE_FOLDERS = (
    "report", "logs", "crawl", "study", "human_verdicts", "marks", "checkpoints", "model", VERIFIED_FOLDER,
)  # fmt: skip
"""What an archive may hold beside what its manifest covers."""
TASK_BYTES, TASK_FILES = 256 << 20, 500
"""So much is digested, and so many files are looked at, by one task."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with which file, key or count."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def verify(store: Store, *, fast: bool = False, over: Spread = in_threads) -> Iterator[Problem]:
    """Every problem; none means that the archive is whole. ``fast`` checks presence and digests only.

    ``over`` spreads files and parts; the problems and their order do not depend on it.
    """
    require_current_version(store)
    if not store.exists(MANIFEST_PATH):
        store.check_reachable()
        raise NotAnArchiveError(f"{store.root} is not sealed: it has no {MANIFEST_PATH}; remedy: moodarchive run")
    try:
        manifest = ArchiveManifest.from_json(store.read_bytes(MANIFEST_PATH))
    except ValueError as error:
        yield Problem(MANIFEST_PATH, f"cannot be read ({error})")
        return
    damaged = list(_files(store, manifest, over))
    yield from damaged
    yield from _sidecars(store, manifest, over)
    yield from _settings(store, manifest)
    yield from (Problem(MANIFEST_PATH, what) for what in total_problems(manifest))
    yield from (Problem(where, what) for where, what in history_problems(store, manifest))
    yield from (Problem(where, what) for where, what in unfinished_takedowns(store))
    yield from (Problem(where, what) for where, what in pruning_problems(store, manifest))
    yield from (Problem(where, what) for where, what in find_problems(store))
    unequal = list(unequal_parts(manifest))
    yield from (Problem(name, what) for _, name, what in unequal)
    yield from (Problem(name, what) for name, what in stale_parts(manifest))
    if not fast and not damaged:
        incomplete = {part for part, name, _ in unequal if name not in manifest.parts}
        yield from _contents(store, manifest, incomplete, over)


def _files(store: Store, manifest: ArchiveManifest, over: Spread) -> Iterator[Problem]:
    """Files that are missing, too many, or other than they were."""
    expected, present = manifest.files, store.files()
    work = partial(_digest_problems, store)
    yield from chain.from_iterable(over(work, _tasks(expected, present)))
    allowed = {*expected, MANIFEST_PATH, *(f"{name}.json" for name in manifest.parts)}
    for path in sorted(present.keys() - allowed):
        if path.split("/", 1)[0] not in FREE_FOLDERS:
            yield Problem(path, "not in the manifest")


Sealed = list[tuple[str, str | None]]
"""Paths, each with the digest that was sealed; None in its place where the file is known to be missing."""


def _tasks(expected: Mapping[str, str], present: Mapping[str, int]) -> list[Sealed]:
    """The files in the manifest's order, in runs of so many bytes or files."""
    tasks: list[Sealed] = [[]]
    size = 0
    for path, sha256 in expected.items():
        if size >= TASK_BYTES or len(tasks[-1]) >= TASK_FILES:
            tasks.append([])
            size = 0
        tasks[-1].append((path, sha256 if path in present else None))
        size += present.get(path, 0)
    return tasks


def _digest_problems(store: Store, files: Sealed) -> list[Problem]:
    missing, other = "missing", "its bytes are not those that were sealed"
    return [
        Problem(path, missing if sha256 is None else other)
        for path, sha256 in files
        if sha256 is None or store.sha256(path) != sha256
    ]


def _sidecars(store: Store, manifest: ArchiveManifest, over: Spread) -> Iterator[Problem]:
    parts = list(manifest.parts.items())
    tasks = [parts[first : first + TASK_FILES] for first in range(0, len(parts), TASK_FILES)]
    yield from chain.from_iterable(over(partial(_sidecar_problems, store), tasks))


def _sidecar_problems(store: Store, parts: Sequence[tuple[str, Sidecar]]) -> list[Problem]:
    return [problem for name, sealed in parts for problem in _one_sidecar(store, f"{name}.json", sealed)]


def _one_sidecar(store: Store, path: str, sealed: Sidecar) -> Iterator[Problem]:
    try:
        content = json.loads(store.read_bytes(path))
    except FileNotFoundError:
        yield Problem(path, "missing")
        return
    except ValueError:
        yield Problem(path, "not JSON")
        return
    if not isinstance(content, dict):
        yield Problem(path, "no sidecar")
        return
    for field, value in sealed.without_timings().items():
        if content.get(field) != value:
            yield Problem(path, f"{field} is not what was sealed")


def _settings(store: Store, manifest: ArchiveManifest) -> Iterator[Problem]:
    if "settings.json" not in manifest.records or not store.exists("settings.json"):
        return
    try:
        content = json.loads(store.read_bytes("settings.json"))
    except ValueError:
        yield Problem("settings.json", "not JSON")
        return
    if content != manifest.settings:
        yield Problem("settings.json", "the settings are not those that were sealed")


def _contents(store: Store, manifest: ArchiveManifest, incomplete: set[int], over: Spread) -> Iterator[Problem]:
    """What only the rows, tars and pictures tell; of an incomplete part there is nothing to compare."""
    shards = {sidecar.part: frozenset(sidecar.files) for sidecar in manifest.of_table(SHARD_INDEX.name)}
    whole = [(part, shards.get(part, frozenset())) for part in manifest.image_parts if part not in incomplete]
    rule = PublishingRule.of_settings(manifest.settings)
    yield from chain.from_iterable(over(partial(_content_problems, store, rule), whole))
    if not incomplete:
        yield from (Problem(MANIFEST_PATH, what) for what in provenance_problems(store, manifest))
        yield from (Problem(where, what) for where, what in verdict_problems(store, manifest))
        yield from (Problem(where, what) for where, what in repeat_problems(store, manifest))
        yield from (Problem(where, what) for where, what in takedown_problems(store, manifest))
        yield from (Problem(where, what) for where, what in attribution_problems(store, manifest))


def _content_problems(store: Store, rule: PublishingRule, whole: tuple[int, frozenset[str]]) -> list[Problem]:
    part, sealed = whole
    return [Problem(where, what) for where, what in part_problems(store, part, sealed, rule)]
