"""Files under a root, on any fsspec file system; a file exists whole or not at all."""

import errno
import hashlib
import io
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from moodarchive.digesting import BackgroundDigest
from moodarchive.errors import StorageError, StorageFullError

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
        fs, base = fsspec.core.url_to_fs(self.root)
        return fs, base.rstrip("/")

    @property
    def fs(self) -> Any:
        """The fsspec file system."""
        return self._fs_and_base[0]

    @property
    def is_local(self) -> bool:
        """True when the root is a folder of this machine."""
        return isinstance(self.fs, LocalFileSystem)

    def path(self, relative: str) -> str:
        """The file's path as the file system wants it."""
        return f"{self._fs_and_base[1]}/{relative}" if relative else self._fs_and_base[1]

    def __getstate__(self) -> dict[str, str]:
        return {"root": self.root}

    def exists(self, relative: str) -> bool:
        """True when there is a file or folder of this path."""
        return bool(self.fs.exists(self.path(relative)))

    def names(self, folder: str = "") -> list[str]:
        """What lies directly in the folder, drafts left out, sorted; empty when there is no such folder."""
        self.fs.invalidate_cache()
        try:
            found = self.fs.ls(self.path(folder), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        names = (path.rstrip("/").rsplit("/", 1)[-1] for path in found)
        return sorted(name for name in names if not name.endswith(DRAFT_SUFFIX))

    def files(self, folder: str = "") -> dict[str, int]:
        """Every file below ``folder`` with its size, drafts left out; paths relative to the root, sorted."""
        self.fs.invalidate_cache()
        top = self.path(folder)
        if not self.fs.exists(top):
            return {}
        found = self.fs.find(top, detail=True)
        cut = len(self.path("")) + 1
        sizes = {path[cut:]: int(info["size"]) for path, info in found.items()}
        return {path: sizes[path] for path in sorted(sizes) if not path.endswith(DRAFT_SUFFIX)}

    def read_bytes(self, relative: str) -> bytes:
        """The whole file; FileNotFoundError when there is none."""
        return cast(bytes, self.fs.cat_file(self.path(relative)))

    def open_read(self, relative: str) -> BinaryIO:
        """A seekable binary file."""
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
            self.fs.rm_file(self.path(relative))

    def remove_drafts(self) -> None:
        """Removes what killed writers of a local root left half written; only the root's one writer may call it."""
        if self.is_local:
            for draft in Path(self.path("")).rglob(f"*{DRAFT_SUFFIX}"):
                draft.unlink(missing_ok=True)

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
        with self._fullness_explained(relative), draft(relative) as file:
            yield file

    @contextmanager
    def _fullness_explained(self, relative: str) -> Iterator[None]:
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
        final = self.path(relative)
        aside = f"{final}.{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}{DRAFT_SUFFIX}"
        os.makedirs(os.path.dirname(final), exist_ok=True)
        try:
            with open(aside, "wb") as inner:
                file = HashingFile(inner)
                yield file
                inner.flush()
                os.fsync(inner.fileno())
            os.replace(aside, final)
        except BaseException:
            if os.path.exists(aside):
                os.unlink(aside)
            raise
        _sync_folder(os.path.dirname(final))

    @contextmanager
    def _remote_draft(self, relative: str) -> Iterator[HashingFile]:
        inner = self.fs.open(self.path(relative), "wb")
        try:
            yield (file := HashingFile(inner))
        except BaseException:
            # closing would publish half a file
            inner.discard() if hasattr(inner, "discard") else None
            inner.closed = True
            raise
        inner.close()
        assert file.bytes_written >= 0

    def create_exclusively(self, relative: str, data: bytes) -> bool:
        """Creates the file unless it exists; False when it does. Exactly one of several racing callers gets True."""
        if self.is_local:
            with self._fullness_explained(relative):
                return self._create_locally(self.path(relative), data)
        try:
            self.fs.pipe_file(self.path(relative), data, mode="create")
        except FileExistsError:
            return False
        except TypeError as error:
            raise StorageError(f"{self.root}: this file system cannot create a file conditionally") from error
        return True

    @staticmethod
    def _create_locally(path: str, data: bytes) -> bool:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        aside = f"{path}.{os.getpid()}.{threading.get_ident()}{DRAFT_SUFFIX}"
        try:
            with open(aside, "wb") as file:
                file.write(data)
            os.link(aside, path)  # unlike open("x"), the file is never seen half written
        except FileExistsError:
            return False
        finally:
            with suppress(FileNotFoundError):
                os.unlink(aside)
        return True


def _sync_folder(folder: str) -> None:
    """A rename survives a power cut only once its folder is synced."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
