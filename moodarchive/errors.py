"""Every error that the project raises on purpose.

The tree::

    MoodArchiveError
    ├── UsageError            the person asked for something that cannot be done: message, no traceback, exit 2
    │   ├── ConfigError       a setting is unknown, malformed, or contradicts the archive's own settings
    │   ├── NotAnArchiveError the root holds no archive, or one of another schema version
    │   ├── UnknownKeyError   no row of the archive has this key
    │   ├── UnknownSealError  the archive has had no seal of this number
    │   ├── NotWholeError     an archive must be sealed and sound for what was asked, and is not
    │   ├── TakedownListError a list of what to take down cannot be read: names the line
    │   ├── SourceLockedError a stock site's terms do not allow the use, and no permission is recorded
    │   ├── StudyError        a study of the archive cannot do what was asked
    │   ├── EditError         the editor cannot do what was asked: names what does not fit
    │   │   └── PictureError  a picture or mask that was handed in cannot be edited
    │   ├── MissingWeightsError a model's weights are not here: names them, their licence, size and how to get them
    │   ├── DatasetError      a published dataset's folder is not as its authors publish it
    │   └── RootInUseError    another run writes to this root
    ├── MissingExtraError     an optional dependency is not installed: names the extra
    ├── StorageError          the store refused a read or a write
    │   ├── StorageFullError  no space is left
    │   └── DamagedPartError  a file does not match the digest in its sidecar
    ├── UnmetLinesError       a takedown is done, and lines of its list meant no image: names each
    ├── StageError            a stage cannot go on
    │   ├── PrunedPictureError a kept image's picture was pruned, and no shard holds it
    │   └── PartsFailedError  some parts have no output after the run: names each
    ├── ServiceError          a server that a stage needs does not answer as its interface says
    └── RowError              one row cannot be processed: its ``kind`` becomes the row's ``error``

A row's failure becomes its ``status``; everything else reaches the command line.
"""


class MoodArchiveError(Exception):
    """The root of the tree; the message says what, where and the remedy."""

    exit_code = 1


class UsageError(MoodArchiveError):
    """A person's mistake."""

    exit_code = 2


class ConfigError(UsageError):
    """A bad setting; the message names the key, the value and the legal values."""


class NotAnArchiveError(UsageError):
    """The root holds no archive that this version can read."""


class UnknownKeyError(UsageError):
    """The archive has no row of this key."""


class UnknownSealError(UsageError):
    """The archive has had no seal of this number."""


class NotWholeError(UsageError):
    """The archive must be sealed and sound for what was asked; the message names what is not."""


class TakedownListError(UsageError):
    """A takedown list cannot be read; the message names the line and what is legal there."""


class SourceLockedError(UsageError):
    """A source may not be crawled; the message names the term and how to unlock it."""


class StudyError(UsageError):
    """A study cannot do what was asked; the message says why and the remedy."""


class EditError(UsageError):
    """The editor cannot do what was asked; the message names what does not fit, and the remedy."""


class MissingWeightsError(UsageError):
    """A model's weights are not on this machine; the message names them, their licence, size and how to get them."""


class DatasetError(UsageError):
    """A published dataset cannot be read; the message names the file, what is wrong and where the set is had."""


class PictureError(EditError):
    """A picture or mask cannot be edited; the message names the file, what is wrong and the remedy."""


class RootInUseError(UsageError):
    """A living run holds the root; the message names its host and age."""


class MissingExtraError(MoodArchiveError):
    """An optional dependency is absent."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed; remedy: pip install 'moodarchive[{extra}]'")


class StorageError(MoodArchiveError):
    """The store refused."""


class StorageFullError(StorageError):
    """No space is left; finished parts are safe, and a rerun goes on from them."""


class DamagedPartError(StorageError):
    """A file is not what its sidecar says."""


class UnmetLinesError(MoodArchiveError):
    """Lines of a takedown list meant no image of the archive; the takedown of the others is done."""


class StageError(MoodArchiveError):
    """A stage cannot go on."""


class PrunedPictureError(StageError):
    """A kept image has no picture any more; the message names the part and the ways out."""


class PartsFailedError(StageError):
    """Some parts ended without output."""


class ServiceError(MoodArchiveError):
    """A needed server is unreachable or answers against its interface."""


class RowError(MoodArchiveError):
    """One row's failure.

    ``kind`` is a short stable name (``http_404``, ``not_an_image``) that reports count; the message is for the log.
    """

    def __init__(self, kind: str, message: str = "") -> None:
        super().__init__(message or kind)
        self.kind = kind

    def __reduce__(self) -> tuple[type["RowError"], tuple[str, str]]:
        return (type(self), (self.kind, str(self)))
