"""Whether every package of this distribution is really ours, whatever else bears its name.

The stage folders have plain names (``train``, ``filter``, ``validate``), and Python takes the first module of a name
that it meets: a file of the user's in the working directory, or another distribution's (configobj has a ``validate``).
"""

import base64
import csv
import hashlib
import os
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("moodarchive", "crawl", "annotate", "filter", "shards", "validate", "train", "editor", "pipelines")
HOME = Path(__file__).resolve().parents[2]
"""The folder that holds all of them: site-packages, or a clone."""


def leave_working_directory() -> None:
    """Takes the working directory off the search path of this process and of every Python that it will start.

    ``python -m`` and torchrun put it there first, and a PYTHONPATH may name it. A clone that is the working directory
    stays: what it holds is ours.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        here = Path.cwd()
    except FileNotFoundError:  # it was removed: nothing can be imported from it
        return
    if here in {HOME, *(Path(path) for path in sysconfig.get_paths().values())}:
        return
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != here]
    if "PYTHONPATH" in os.environ:
        entries = os.environ.pop("PYTHONPATH").split(os.pathsep)
        if kept := [entry for entry in entries if Path(entry).resolve() != here]:
            os.environ["PYTHONPATH"] = os.pathsep.join(kept)


def foreign_package() -> str:
    """What stands in the place of a package of ours, and the remedy; empty when all are ours."""
    digests = _recorded_digests()
    for package in PACKAGES:
        ours = HOME / package / "__init__.py"
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            return f"{ours} is missing; remedy: pip install --force-reinstall --no-deps moodarchive"
        if Path(spec.origin).resolve() != ours:
            return (
                f"{spec.origin} takes the place of this program's package {package!r} ({ours.parent}); remedy: take "
                f"its folder off PYTHONPATH, or give the file another name"
            )
        if (known := digests.get(f"{package}/__init__.py")) and known != _digest(ours):
            return (
                f"{ours} is not this program's own: {_other_owner(package)} wrote it; remedy: install moodarchive into "
                "an environment of its own (uv tool install, pipx, or a new venv)"
            )
    return ""


def _recorded_digests() -> dict[str, str]:
    """File → sha256 as the installer noted them; empty for a clone, whose files are as they were edited."""
    for record in HOME.glob("moodarchive-*.dist-info/RECORD"):
        with record.open(encoding="utf-8", newline="") as file:
            rows = [
                row for row in csv.reader(file) if row and row[0].endswith("/__init__.py") and row[0].count("/") == 1
            ]
        return {name: digest for name, digest, *_ in rows if digest}
    return {}


def _digest(path: Path) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest())
    return "sha256=" + digest.decode().rstrip("=")


def _other_owner(package: str) -> str:
    """The other distribution that says it installed the file."""
    name = f"{package}/__init__.py,"
    for record in sorted(HOME.glob("*.dist-info/RECORD")):
        owner = record.parent.name.removesuffix(".dist-info")
        if not owner.startswith("moodarchive-") and f"\n{name}" in "\n" + record.read_text("utf-8", "replace"):
            return owner
    return "another package, or a hand,"
