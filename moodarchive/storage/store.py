"""Files under a root, on any fsspec file system; a file exists whole or not at all."""

import errno
import hashlib
import io
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from moodarchive.errors import StorageError, StorageFullError
from moodarchive.storage.digesting import BackgroundDigest
from moodarchive.storage.large_file import LargeFile
from moodarchive.storage.local_files import create_whole, read_content, sync_folder
from moodarchive.storage.remote import (
    UPLOAD_PIECE,
    abort_uploads,
    check_reachable,
    create_remotely,
    explain_refusals,
    open_file_system,
)

DRAFT_SUFFIX = ".draft"
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass
class HashingFile(io.RawIOBase):
    """A write-only file that digests what passes; pyarrow and tarfile can write to it."""

    inner: BinaryIO
    bytes_written: int = 0
    _digest: BackgroundDigest = field(default_factory=BackgroundDigest)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._digest.update(data if isinstance(data, bytes) else view)
        self.inner.write(view)
        self.bytes_written += len(view)
        return len(view)

    def tell(self) -> int:
        return self.bytes_written

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


@dataclass(frozen=True)
class Store:
    """The files under ``root``: a folder, s3://, gs://, anything fsspec knows. Paths are relative, with slashes."""

    root: str

    @cached_property
    def _fs_and_base(self) -> tuple[Any, str]:
        return open_file_system(self.root)

    @property
    def fs(self) -> Any:
        """The fsspec file system."""
        return self._fs_and_base[0]

    @property
    def is_local(self) -> bool:
        """True when the root is a folder of this machine."""
        return isinstance(self.fs, LocalFileSystem)

    def path(self, relative: str) -> str:
        """The file's path as the file system wants it. StorageError for a path that leads out of the root."""
        if ".." in relative.split("/"):
            raise StorageError(f"{relative!r} leads out of {self.root}; remedy: name a file under the root")
        return f"{self._fs_and_base[1]}/{relative}" if relative else self._fs_and_base[1]

    def __getstate__(self) -> dict[str, str]:
        # a worker may stand in another folder, where a relative root would be another one
        return {"root": self.path("") if self.is_local else self.root}

    def check_reachable(self) -> None:
        """StorageError when the bucket is not there, may not be seen, or the object store does not answer."""
        check_reachable(self.root, self.fs, self.path(""))

    def _explain_refusals(self, relative: str) -> AbstractContextManager[None]:
        return nullcontext() if self.is_local else explain_refusals(self.root, relative)

    def exists(self, relative: str) -> bool:
        """True when there is a file or folder of this path."""
        with self._explain_refusals(relative):
            return bool(self.fs.exists(self.path(relative)))

    def names(self, folder: str = "") -> list[str]:
        """What lies directly in the folder, drafts left out, sorted; empty when there is no such folder."""
        try:
            with self._explain_refusals(folder):
                listing = self.fs.ls(self.path(folder), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        names = (path.rstrip("/").rsplit("/", 1)[-1] for path in listing)
        return sorted(name for name in names if not name.endswith(DRAFT_SUFFIX))

    def files(self, folder: str = "") -> dict[str, int]:
        """Every file below ``folder`` with its size, drafts left out; paths relative to the root, sorted."""
        with self._explain_refusals(folder):
            listing = self.fs.find(self.path(folder), detail=True)
        cut = len(self.path("")) + 1
        sizes = {path[cut:]: int(info["size"]) for path, info in listing.items()}
        return {path: sizes[path] for path in sorted(sizes) if not path.endswith(DRAFT_SUFFIX)}

    def read_bytes(self, relative: str) -> bytes:
        """The whole file; FileNotFoundError when there is none."""
        with self._explain_refusals(relative):
            return cast(bytes, self.fs.cat_file(self.path(relative)))

    def read_many(self, relative: Sequence[str]) -> list[bytes | None]:
        """The whole files, None for those that are not there; an object store is asked for many at once."""
        paths = [self.path(path) for path in relative]
        if self.is_local or not paths:
            return [read_content(path) for path in paths]
        with self._explain_refusals(f"{paths[0]} and others"):
            answers = self.fs.cat_ranges(paths, None, None, on_error="return")
            for answer in answers:
                if isinstance(answer, Exception) and not isinstance(answer, FileNotFoundError):
                    raise answer
        return [answer if isinstance(answer, bytes) else None for answer in answers]

    def open_read(self, relative: str) -> BinaryIO:
        """A seekable binary file."""
        with self._explain_refusals(relative):
            return cast(BinaryIO, self.fs.open(self.path(relative), "rb"))

    def open_for_arrow(self, relative: str) -> Any:
        """As ``open_read``, for pyarrow: it reads a local file without a detour through Python."""
        return pa.OSFile(self.path(relative)) if self.is_local else self.open_read(relative)

    def write_bytes(self, relative: str, data: bytes) -> str:
        """Writes the file whole; returns its sha256."""
        with self.draft(relative) as file:
            file.write(data)
        return file.sha256

    def remove(self, relative: str) -> None:
        """Removes the file if it is there."""
        if self.exists(relative):
            with self._explain_refusals(relative):
                self.fs.rm_file(self.path(relative))

    def move(self, source: str, target: str) -> None:
        """Gives the file another path; nothing happens when it is not there: a killed move may be repeated.

        An object is copied by its store, then removed.
        """
        if not self.exists(source):
            return
        if self.is_local:
            os.makedirs(os.path.dirname(self.path(target)), exist_ok=True)
            os.replace(self.path(source), self.path(target))
            sync_folder(os.path.dirname(self.path(target)))
            return
        with self._explain_refusals(source):
            self.fs.cp_file(self.path(source), self.path(target))
            self.fs.rm_file(self.path(source))

    def remove_empty_folder(self, relative: str) -> None:
        """Removes a folder that holds no file; an object store has none."""
        if self.is_local:
            with suppress(OSError):  # not there, or not empty: it stays
                os.rmdir(self.path(relative))

    def remove_drafts(self) -> None:
        """Removes what killed writers left half written; only the root's one writer may call it."""
        if self.is_local:
            for draft in Path(self.path("")).rglob(f"*{DRAFT_SUFFIX}"):
                draft.unlink(missing_ok=True)
            return
        with self._explain_refusals(""):
            abort_uploads(self.fs, self.path(""))

    def sha256(self, relative: str) -> str:
        """Digest of the file as it lies there now."""
        with self.open_read(relative) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]

    @contextmanager
    def draft(self, relative: str) -> Iterator[HashingFile]:
        """A file that appears under its name only when the block ends well.

        Local files are written aside, synced and renamed; object stores publish on close. Raises StorageFullError when
        the disk is full, and leaves nothing behind.
        """
        draft = self._local_draft if self.is_local else self._remote_draft
        with self._explain_full_disk(relative), draft(relative) as file:
            yield file

    @contextmanager
    def large_draft(self, relative: str) -> Iterator[HashingFile | LargeFile]:
        """As ``draft``, for gigabytes that nobody reads soon: a local file is written beside the page cache."""
        draft = self._local_large_draft if self.is_local else self._remote_draft
        with self._explain_full_disk(relative), draft(relative) as file:
            yield file

    @contextmanager
    def _explain_full_disk(self, relative: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise StorageFullError(
                    f"no space left under {self.root} while writing {relative}; remedy: free some space and run again, "
                    "finished parts are safe"
                ) from error
            raise

    @contextmanager
    def _local_draft(self, relative: str) -> Iterator[HashingFile]:
        with self._write_aside(relative) as aside, open(aside, "wb") as inner:
            yield HashingFile(inner)
            inner.flush()
            os.fsync(inner.fileno())

    @contextmanager
    def _local_large_draft(self, relative: str) -> Iterator[LargeFile]:
        with self._write_aside(relative) as aside, LargeFile(aside) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def _write_aside(self, relative: str) -> Iterator[str]:
        """Where the file is to be written and synced; it is renamed when the block ends well, and else removed."""
        final = self.path(relative)
        aside = f"{final}.{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}{DRAFT_SUFFIX}"
        os.makedirs(os.path.dirname(final), exist_ok=True)
        try:
            yield aside
            os.replace(aside, final)
        except BaseException:
            if os.path.exists(aside):
                os.unlink(aside)
            raise
        sync_folder(os.path.dirname(final))

    @contextmanager
    def _remote_draft(self, relative: str) -> Iterator[HashingFile]:
        with self._explain_refusals(relative):
            inner = self.fs.open(self.path(relative), "wb", block_size=UPLOAD_PIECE)
            try:
                yield HashingFile(inner)
                inner.close()
            except BaseException:
                inner.closed = True  # closing it, as its end does, would publish half a file
                with suppress(Exception):  # the store may be gone; the next run takes away what is left
                    inner.discard()
                raise

    def create_exclusively(self, relative: str, data: bytes) -> bool:
        """Creates the file unless it exists; False when it does. Exactly one of several racing callers gets True."""
        if self.is_local:
            with self._explain_full_disk(relative):
                return create_whole(self.path(relative), data, DRAFT_SUFFIX)
        return create_remotely(self.root, self.fs, self.path(relative), data)
