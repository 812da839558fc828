"""Parquet files of an object store as one Arrow dataset that DuckDB scans: many at once, a request or two a file."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs

FILENAME = "filename"
"""The column that holds each row's path, as DuckDB's own reader of Parquet files gives it."""
_FILES_AT_ONCE = 16


def remote_dataset(fs: Any, paths: Sequence[str], sizes: Mapping[str, int], schema: pa.Schema) -> ds.Dataset:
    """The files' rows; the schema's last column is FILENAME. ``sizes`` (bytes by path) saves asking for each."""
    form = ds.ParquetFileFormat()
    files = pafs.PyFileSystem(_KnownSizes(fs, sizes))
    fragments = [form.make_fragment(path, files, ds.field(FILENAME) == path) for path in paths]
    pa.set_io_thread_count(max(pa.io_thread_count(), _FILES_AT_ONCE))
    return _SideBySide(fragments, schema, form, files)


class _SideBySide(ds.FileSystemDataset):  # type: ignore[misc]
    """DuckDB asks a dataset for a scanner of the columns it needs; Arrow's own looks at four files ahead."""

    def scanner(self, **options: Any) -> ds.Scanner:
        return super().scanner(**options, fragment_readahead=_FILES_AT_ONCE)


class _KnownSizes(pafs.FSSpecHandler):  # type: ignore[misc]
    """Opens files without asking for what the listing says."""

    def __init__(self, fs: Any, sizes: Mapping[str, int]) -> None:
        super().__init__(fs)
        self._sizes = sizes

    def open_input_file(self, path: str) -> pa.PythonFile:
        size = self._sizes.get(path)
        if size is None:
            return pa.PythonFile(self.fs.open(path, mode="rb"), mode="r")
        file = self.fs.open(path, mode="rb", size=size)
        file.details = {"name": path, "size": size, "type": "file"}
        return pa.PythonFile(file, mode="r")
