"""The digest of a weights file, computed once: several gigabytes are not read again at each run to name a model."""

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

SETTLED_S = 2.0
"""A file that changed so recently may change again within the clock's grain: its digest is not kept."""
_KEPT = "weights.json"


def weights_sha256(path: Path) -> str:
    """The file's sha256, from the user's cache while size, times and inode are those of the file that was read."""
    known = _read_kept().get(name := str(path.resolve()))
    stamp = _stamp(path)
    if isinstance(known, dict) and known.get("stamp") == stamp:
        return str(known["sha256"])
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if _stamp(path) == stamp and time.time_ns() - max(stamp[1:3]) > SETTLED_S * 1e9:
        _keep(name, {"stamp": stamp, "sha256": sha256})
    return sha256


def cache_folder() -> Path:
    """Where the user's programs keep what can be computed anew."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "moodarchive"


def _stamp(path: Path) -> list[int]:
    """Size, times of the content and of the entry, inode: the second time cannot be set back."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _read_kept() -> dict[str, Any]:
    try:
        kept = json.loads((cache_folder() / _KEPT).read_bytes())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _keep(name: str, digest: dict[str, Any]) -> None:
    """Beside those of files that are still there; without a writable folder nothing is kept."""
    kept = {path: known for path, known in _read_kept().items() if os.path.exists(path)} | {name: digest}
    folder = cache_folder()
    aside = folder / f"{_KEPT}.{os.getpid()}"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            aside.write_text(json.dumps(kept, indent=1, sort_keys=True))
            os.replace(aside, folder / _KEPT)
        finally:
            aside.unlink(missing_ok=True)
