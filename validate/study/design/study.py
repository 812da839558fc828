"""What a study is: its kind, its seed, how many are asked; recorded under study/KIND/ and never changed silently."""

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass, replace

from moodarchive.archive.version import require_current_version
from moodarchive.errors import StudyError
from moodarchive.storage.store import Store

CAPTIONS, EDITS, CHECKS, RANKING = "captions", "edits", "checks", "ranking"
KINDS = (CAPTIONS, EDITS, CHECKS, RANKING)


@dataclass(frozen=True, kw_only=True)
class StudyDesign:
    """How the study was drawn.

    ``n`` items of the archive, held-out and doubtful images left out; ``heldout`` images are to be verified;
    ``doubtful`` ones are asked first, of annotators of one's own; ``workers`` answer each item; ``gold`` is the share
    of gold questions; ``strata`` are the columns that divide the archive; ``left_out`` counts images that could not be
    asked about, by reason; ``batches`` counts the items of each drawing.
    """

    kind: str
    seed: int
    n: int
    heldout: int
    workers: int
    gold: float
    strata: tuple[str, ...]
    left_out: dict[str, int]
    batches: tuple[int, ...]
    simulated: bool = False
    doubtful: int = 0

    def as_simulated(self) -> "StudyDesign":
        """The same, marked for good as answered by a program."""
        return replace(self, simulated=True)


def folder(kind: str) -> str:
    """``study/KIND``."""
    return f"study/{kind}"


def read_design(store: Store, kind: str) -> StudyDesign:
    """The study's record; StudyError when nothing was drawn yet."""
    require_current_version(store)
    if not store.exists(_path(kind)):
        chosen = "" if kind == CAPTIONS else f" --kind {kind} --edits FOLDER"
        raise StudyError(f"{store.root} has no study of {kind}; remedy: moodarchive study sample {store.root}{chosen}")
    record = json.loads(store.read_bytes(_path(kind)))
    return StudyDesign(**{**record, "strata": tuple(record["strata"]), "batches": tuple(record["batches"])})


def find_design(store: Store, kind: str) -> StudyDesign | None:
    """The study's record, None when nothing was drawn yet."""
    return read_design(store, kind) if store.exists(_path(kind)) else None


def write_design(store: Store, design: StudyDesign) -> None:
    """Records the study."""
    store.write_bytes(_path(design.kind), (json.dumps(asdict(design), indent=1, sort_keys=True) + "\n").encode())


def _path(kind: str) -> str:
    return f"{folder(kind)}/design.json"


def hash_worker(store: Store, kind: str, worker: str) -> str:
    """A worker's name in every file but the vendor's: 12 hex digits, salted by the study."""
    return _hash(salt(store, kind), worker)


def _hash(secret: bytes, worker: str) -> str:
    return hashlib.blake2b(worker.encode(), key=secret, digest_size=6).hexdigest()


def salt(store: Store, kind: str) -> bytes:
    """The study's own secret; it stays in study/, so that nobody can look a worker up by guessing."""
    path = f"{folder(kind)}/salt"
    store.create_exclusively(path, secrets.token_hex(32).encode())
    return bytes.fromhex(store.read_bytes(path).decode())
