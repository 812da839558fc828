"""Whether a path that somebody else wrote stays below the folder that it is read from."""

from pathlib import PurePosixPath


def is_inner_path(path: object) -> bool:
    """True for a relative path without steps upwards, with no letter that a file system reads otherwise."""
    if not isinstance(path, str) or not path or "\\" in path or "\0" in path:
        return False
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts
