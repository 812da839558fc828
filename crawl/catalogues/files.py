"""The files of a catalogue: which there are, what tells one from another, and how they are opened."""

import bz2
import gzip
import hashlib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import IO, Any, cast

from fsspec.implementations.local import LocalFileSystem

from moodarchive.errors import ConfigError
from moodarchive.storage.remote import explain_refusals, open_file_system

LOGGER = logging.getLogger("moodarchive.catalogues")
KINDS = ("parquet", "csv", "tsv", "jsonl", "tar")
_ENDINGS = {
    ".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".tar": "tar",
}  # fmt: skip
ENDINGS = (".parquet", ".csv", ".tsv", ".jsonl", ".tar")
"""Those that messages name; .gz and .bz2 may follow, and a number, as in photos.tsv000."""
_COMPRESSIONS = {".gz": "gz", ".bz2": "bz2"}
_NUMBERED = re.compile(r"(\.(?:csv|tsv|jsonl))\d{1,4}$")
_MAGIC = re.compile(r"[*?\[]")
_EDGE = 1 << 16
_SHOWN = 3


@dataclass(frozen=True)
class ListFile:
    """One file of a list.

    ``name`` is relative to the root that names it, with "/" between folders; ``path`` is what opens it, a local path or
    a whole URL; ``fingerprint`` is made of name, size, and the first and last 64 KiB: not of times and folders.
    """

    name: str
    path: str
    bytes: int
    fingerprint: str


@dataclass
class LeftOut:
    """How many rows of a list were read and taken, and what of it is no row, by reason; a few of each are named."""

    name: str
    rows: int = 0
    taken: int = 0
    cut: int = 0
    """Texts that were longer than a text may be, and lost their end."""
    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, why: str, which: str, count: int = 1) -> None:
        """``which`` names the line, the row, the member or the file."""
        self.counts[why] = self.counts.get(why, 0) + count
        if len(named := self.examples.setdefault(why, [])) < _SHOWN:
            named.append(which)

    def report(self) -> None:
        """One line of counts, and one warning a reason."""
        LOGGER.info("%s: %d of %d rows taken, %d texts cut", self.name, self.taken, self.rows, self.cut)
        for why, count in self.counts.items():
            LOGGER.warning("%s: %d left out: %s (%s)", self.name, count, why, ", ".join(self.examples[why]))


def refuse(name: object, why: str, remedy: str) -> ConfigError:
    """The error for a list that cannot be read."""
    return ConfigError(f"{name} {why}; remedy: {remedy}")


def find_files(
    roots: Sequence[str],
    pattern: str = "*",
    kind: str | None = None,
    *,
    beside: str = "",
    endings: Mapping[str, str] = _ENDINGS,
) -> tuple[ListFile, ...]:
    """The files that the roots name, sorted by name; each root is a file, a folder or a glob, local or on a store.

    ``pattern`` chooses among the files of a folder; ``kind`` is what files are whose endings say nothing. Files beside
    a list that match ``beside`` count in its fingerprint. Folders are walked down, never out: links to folders are not
    followed, and what begins with "." or "_" is none of the list. ConfigError names the root that is not there or holds
    no list, or the two files of one name.
    """
    if not roots:
        raise ConfigError("a catalogue without files; remedy: name files, folders or globs of lists")
    search = _Search(pattern, kind, beside, endings)
    files: dict[str, ListFile] = {}
    for root in roots:
        for file in _files_of(root, search):
            if files.setdefault(file.name, file).path != file.path:
                paths = f"{files[file.name].path} and {file.path}"
                raise refuse(paths, "have one name in the catalogue", "name a folder above both")
    return tuple(files[name] for name in sorted(files))


@dataclass(frozen=True)
class _Search:
    pattern: str
    kind: str | None
    beside: str
    endings: Mapping[str, str]

    def accepts(self, name: str) -> bool:
        """Whether a folder's file is of the list: a fallback for unknown endings would take every README in it."""
        fallback = self.kind if self.pattern != "*" else None
        return fnmatchcase(name, self.pattern) and kind_of(name, fallback, self.endings) is not None


def fingerprint(files: Iterable[ListFile]) -> str:
    """16 hex digits that name the list's files as they are, in any order."""
    whole = hashlib.sha256()
    for one in sorted(file.fingerprint for file in files):
        whole.update(one.encode())
    return whole.hexdigest()[:16]


def kind_of(name: str, fallback: str | None = None, endings: Mapping[str, str] = _ENDINGS) -> tuple[str, str] | None:
    """The kind (one of KINDS) and the compression ("", gz, bz2) that a file's name tells; None for no list."""
    path = PurePosixPath(name.lower())
    if path.suffix == ".tgz":
        return "tar", "gz"
    compression = _COMPRESSIONS.get(path.suffix, "")
    if compression:
        path = path.with_suffix("")
    suffix = PurePosixPath(_NUMBERED.sub(r"\1", path.name)).suffix
    found = endings.get(suffix, fallback)
    return (found, compression) if found else None


def open_list(file: ListFile) -> IO[bytes]:
    """The file's bytes as they lie, seekable; StorageError when the store refuses."""
    fs, path = open_file_system(file.path)
    with explain_refusals(file.path, file.name):
        return cast(IO[bytes], fs.open(path, "rb"))


@contextmanager
def open_decompressed(file: ListFile, compression: str) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed as they are read."""
    with open_list(file) as raw:
        if compression == "gz":
            with gzip.open(raw) as unzipped:
                yield cast(IO[bytes], unzipped)
        elif compression == "bz2":
            with bz2.open(raw) as unzipped:
                yield unzipped
        else:
            yield raw


def _files_of(root: str, search: _Search) -> list[ListFile]:
    fs, base = open_file_system(root)
    with explain_refusals(root, ""):
        if fs.isfile(base):
            top, sizes = base.rpartition("/")[0], {base: int(fs.size(base))}
        elif fs.isdir(base):
            top, sizes = base, _walk(fs, base, search)
            if not sizes:
                shown = "" if search.pattern == "*" else f" called {search.pattern}"
                raise refuse(root, f"is a folder without lists{shown}", f"name one that holds {_shown(search)}")
        elif magic := _MAGIC.search(base):
            top = base[: magic.start()].rpartition("/")[0]
            sizes = {
                path: int(info["size"] or 0)
                for path, info in fs.glob(base, detail=True).items()
                if info["type"] == "file" and not _is_hidden(path[len(top) :].strip("/"))
            }
            if not sizes:
                raise refuse(root, "matches no file", "correct the pattern")
        else:
            raise refuse(root, "is not there", "name a file, a folder or a glob of lists")
        return [_list_file(fs, path, top, size, search) for path, size in sizes.items()]


def _is_hidden(inside: str) -> bool:
    """Whether a path below the root has a part that a list never has."""
    return any(part.startswith((".", "_")) for part in inside.split("/"))


def _shown(search: _Search) -> str:
    return ", ".join(ENDINGS if search.endings is _ENDINGS else search.endings)


def _walk(fs: Any, base: str, search: _Search) -> dict[str, int]:
    sizes: dict[str, int] = {}
    if isinstance(fs, LocalFileSystem):
        for folder, folders, names in os.walk(base):
            folders[:] = [name for name in folders if not name.startswith((".", "_"))]
            paths = [f"{folder}/{name}" for name in names if not name.startswith((".", "_")) and search.accepts(name)]
            sizes |= {path: os.path.getsize(path) for path in paths if os.path.isfile(path)}
        return sizes
    for path, info in fs.find(base, detail=True).items():
        inside = path[len(base) :].strip("/")
        if not _is_hidden(inside) and search.accepts(inside.rpartition("/")[2]):
            sizes[path] = int(info["size"] or 0)
    return sizes


def _list_file(fs: Any, path: str, top: str, size: int, search: _Search) -> ListFile:
    name = path[len(top) :].lstrip("/") if path.startswith(top) else path
    if kind_of(name, search.kind, search.endings) is None:
        raise refuse(path, f"has none of the endings {_shown(search)}", "give it the ending of its kind")
    whole = hashlib.sha256()
    _add_to_digest(whole, fs, path, name, size)
    if search.beside:
        for other in sorted(fs.glob(f"{path.rpartition('/')[0]}/{search.beside}")):
            _add_to_digest(whole, fs, other, other.rpartition("/")[2], int(fs.size(other)))
    url = path if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(path)
    return ListFile(name=name, path=url, bytes=size, fingerprint=whole.hexdigest()[:16])


def _add_to_digest(whole: Any, fs: Any, path: str, name: str, size: int) -> None:
    whole.update(f"{name}\0{size}\0".encode(errors="surrogateescape"))
    with fs.open(path, "rb") as file:
        whole.update(file.read(_EDGE))
        file.seek(max(0, size - _EDGE))
        whole.update(file.read(_EDGE))
