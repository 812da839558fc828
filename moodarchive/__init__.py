"""MoodArchive for programs: open an archive, read its tables, iterate its samples::

    import moodarchive

    archive = moodarchive.open("runs/demo")          # a folder, s3://bucket/folder, …
    for sample in archive.samples("train"):
        print(sample.key, sample.emotion, sample.caption, sample.provenance.licence)
        picture = sample.image()                     # a PIL image

    captions = archive.table("captions").to_arrow(["key", "summary"])
    with archive.connect() as connection:            # DuckDB, every table a view
        connection.sql("SELECT emotion, count(*) FROM selection WHERE kept GROUP BY 1").show()

What is named in ``__all__`` is the public surface; the rest of this package is the core that every stage shares, and
knows no stage. Names are loaded when they are first used: ``import moodarchive`` itself costs nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moodarchive.archive.manifest import ArchiveManifest as ArchiveManifest
    from moodarchive.archive.reader import Archive as Archive
    from moodarchive.archive.reader import Provenance as Provenance
    from moodarchive.archive.reader import Sample as Sample
    from moodarchive.archive.reader import TableReader as TableReader
    from moodarchive.archive.reader import open as open
    from moodarchive.errors import MoodArchiveError as MoodArchiveError

__version__ = "0.2.0"

__all__ = [
    "Archive",
    "ArchiveManifest",
    "MoodArchiveError",
    "Provenance",
    "Sample",
    "TableReader",
    "__version__",
    "open",
]

if not TYPE_CHECKING:  # else a checker would take every name for one of ours

    def __getattr__(name):
        """Loads a public name when it is first used."""
        from importlib import import_module

        homes = {"ArchiveManifest": "archive.manifest", "MoodArchiveError": "errors"}
        if name not in __all__:
            raise AttributeError(f"module 'moodarchive' has no attribute {name!r}")
        value = getattr(import_module(f"moodarchive.{homes.get(name, 'archive.reader')}"), name)
        globals()[name] = value
        return value
