"""What training reads of a sealed archive: its shards, where each sample lies, and whether they are as sealed."""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from moodarchive.archive.manifest import ArchiveManifest
from moodarchive.archive.version import require_current_version
from moodarchive.emotions.captions import caption_text
from moodarchive.errors import ConfigError, DamagedPartError, NotAnArchiveError, StageError
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from moodarchive.tables.layout import MANIFEST_PATH, SETS
from moodarchive.tables.parquet import read_table as read_parquet
from moodarchive.tables.schemas import CAPTIONS, SHARD_INDEX
from moodarchive.tables.spans import member_span, sample_span


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One tar of a sealed archive and its index, with the sha256 that the manifest gives for both."""

    root: str
    tar: str
    tar_sha256: str
    index: str
    index_sha256: str
    samples: int
    captions: str = ""
    """The part of the captions' table that its samples' captions are in; empty in a set without tables"""
    captions_sha256: str = ""

    def rows(self) -> dict[str, list[Any]]:
        """The index by column. DamagedPartError when it is not the one that was sealed."""
        columns = self._read_columns(self.index, self.index_sha256)
        if len(columns["key"]) != self.samples:
            raise self._change_error(self.index, "is not the one that was sealed")
        return columns

    def _read_columns(self, path: str, sha256: str, names: Sequence[str] | None = None) -> dict[str, list[Any]]:
        try:
            data = Store(self.root).read_bytes(path)
        except FileNotFoundError:
            raise self._change_error(path, "is missing") from None
        if _sha256(data) != sha256:
            raise self._change_error(path, "is not the one that was sealed")
        columns: dict[str, list[Any]] = read_parquet(io.BytesIO(data), names).to_pydict()
        return columns

    def check_size(self) -> None:
        """DamagedPartError unless the tar is there and long enough for its last sample."""
        store = Store(self.root)
        rows = self.rows()
        needed = rows["offset"][-1] + rows["size"][-1]
        try:
            size = int(store.fs.size(store.path(self.tar)))
        except FileNotFoundError:
            raise self._change_error(self.tar, "is missing") from None
        if size < needed:
            raise self._change_error(self.tar, f"has {size} bytes, its index says at least {needed}")

    def check_captions(self, read_caption: Callable[[str, str], None]) -> None:
        """Hands the key and the caption of each sample on, out of the archive's table; the tar is not opened.

        DamagedPartError when the table's part is not the one that was sealed.
        """
        own = set(self.rows()["key"])
        names = ("key", "summary", "stimuli", "assessment")
        columns = self._read_columns(self.captions, self.captions_sha256, names)
        for key, summary, stimuli, assessment in zip(*(columns[name] for name in names), strict=True):
            if key in own:
                read_caption(key, caption_text(summary, stimuli, assessment))

    def check_content(self, read_caption: Callable[[str, str], None]) -> None:
        """DamagedPartError unless the tar's bytes are those that were sealed.

        ``read_caption`` takes the key and the caption of each sample, and may raise a StageError.
        """
        self.check_size()
        columns = self.rows()
        whole = hashlib.sha256()
        refused: StageError | None = None
        with Store(self.root).open_read(self.tar) as file:
            for values in zip(*columns.values(), strict=True):
                row = dict(zip(columns, values, strict=True))
                span = sample_span(row)
                data = span.read(file)
                whole.update(data)
                try:
                    read_caption(row["key"], member_span(row, "txt").within(span, data).decode("utf-8", "replace"))
                except StageError as error:
                    refused = refused or error  # a changed shard is the worse news
            whole.update(file.read())
        if whole.hexdigest() != self.tar_sha256:
            raise self._change_error(self.tar, "is not the one that was sealed")
        if refused:
            raise refused

    def _change_error(self, path: str, what: str) -> DamagedPartError:
        return DamagedPartError(
            f"{self.root}/{path} {what}; remedy: moodarchive verify {self.root} names every difference, "
            "moodarchive run repairs the archive"
        )


@dataclass(frozen=True, kw_only=True)
class SealedArchive:
    """The shards of some sets of one archive; ``seal`` names the manifest that they were read from."""

    root: str
    seal: str
    shards: Sequence[Shard]


def open_archive(root: str, sets: Sequence[str] = ("train",)) -> SealedArchive:
    """NotAnArchiveError for a root without a seal, or one of another schema version."""
    if unknown := set(sets) - set(SETS):
        raise ConfigError(f"no shard set is called {', '.join(sorted(unknown))}; legal: {', '.join(SETS)}")
    store = Store(root)
    require_current_version(store)
    if not store.exists(MANIFEST_PATH):
        raise NotAnArchiveError(f"{root} is not sealed: it has no {MANIFEST_PATH}; remedy: moodarchive run finishes it")
    text = store.read_bytes(MANIFEST_PATH)
    try:
        shards = _shards(root, ArchiveManifest.from_json(text), sets)
    except (ValueError, KeyError) as error:
        raise NotAnArchiveError(f"{root}/{MANIFEST_PATH} cannot be read: {error}; remedy: moodarchive verify") from None
    if not shards:
        raise NotAnArchiveError(f"{root} has no shards of {', '.join(sets)}; remedy: name other sets in data.sets")
    return SealedArchive(root=root, seal=digest(_sha256(text)), shards=shards)


def _shards(root: str, manifest: ArchiveManifest, sets: Sequence[str]) -> list[Shard]:
    shards = []
    captions = {part.part: part.files for part in manifest.of_table(CAPTIONS.name)}
    for part in sorted(manifest.of_table(SHARD_INDEX.name), key=lambda part: part.part):
        for of_set in sets:
            if samples := part.sets.get(of_set, 0):
                table = f"{CAPTIONS.name}/{part.part:05d}.parquet"
                tar, index = (f"shards/{of_set}/{part.part:05d}{ending}" for ending in (".tar", ".parquet"))
                shards.append(
                    Shard(
                        root=root,
                        tar=tar,
                        tar_sha256=part.files[tar],
                        index=index,
                        index_sha256=part.files[index],
                        samples=samples,
                        captions=table,
                        captions_sha256=captions[part.part][table],
                    )
                )
    return shards


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
