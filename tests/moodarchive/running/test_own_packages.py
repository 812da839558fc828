"""Every package is ours, or what took its place is named with the remedy."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from moodarchive.running.own_packages import HOME, PACKAGES, foreign_package

CHECK = "from moodarchive.running.own_packages import foreign_package; print(foreign_package())"
LEAVE = (
    "from moodarchive.running.own_packages import leave_working_directory as leave; leave(); "
    "import os, sys, crawl; print(os.environ.get('PYTHONPATH'), os.environ['PYTHONSAFEPATH'], crawl.__file__)"
)


def _printed(code: str, folder: Path, path: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=folder, env={**os.environ, "PYTHONPATH": path}, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_here_every_package_is_ours() -> None:
    assert foreign_package() == ""


def test_every_package_of_the_distribution_is_looked_at() -> None:
    found = tomllib.loads((HOME / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert [name.rstrip("*") for name in found] == list(PACKAGES)
    assert all((HOME / package / "py.typed").exists() for package in PACKAGES)


@pytest.mark.parametrize("package", ["validate", "filter", "pipelines"])
def test_a_module_in_front_of_ours_is_named(package: str, tmp_path: Path) -> None:
    (tmp_path / f"{package}.py").write_text("raise AssertionError\n")
    words = _printed(CHECK, HOME, os.pathsep.join((str(tmp_path), str(HOME))))
    assert words.startswith(f"{tmp_path}/{package}.py takes the place of this program's package {package!r}")
    assert "remedy: " in words


def test_a_file_that_another_distribution_wrote_over_ours_is_named(tmp_path: Path) -> None:
    """The packages as an installer leaves them, with its records."""
    digests = []
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
        digests.append(f"{package}/__init__.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0")
    (tmp_path / "moodarchive/running").mkdir()
    for name in ("__init__.py", "own_packages.py"):
        (tmp_path / "moodarchive/running" / name).write_text((HOME / "moodarchive/running" / name).read_text())
    ours, theirs = tmp_path / "moodarchive-1.dist-info", tmp_path / "configobj-5.0.9.dist-info"
    for folder in (ours, theirs):
        folder.mkdir()
    (ours / "RECORD").write_text("\n".join(digests))
    (theirs / "RECORD").write_text("configobj/__init__.py,,\nvalidate/__init__.py,,\n")
    assert _printed(CHECK, HOME.parent, str(tmp_path)) == ""
    (tmp_path / "validate/__init__.py").write_text("from configobj.validate import *\n")
    words = _printed(CHECK, HOME.parent, str(tmp_path))
    assert words.startswith(f"{tmp_path}/validate/__init__.py is not this program's own: configobj-5.0.9 wrote it")
    assert "remedy: install moodarchive into an environment of its own" in words
    (tmp_path / "validate/__init__.py").unlink()
    assert "is missing; remedy: pip install" in _printed(CHECK, HOME.parent, str(tmp_path))


def test_the_working_directory_is_left_off_the_path_of_this_process_and_its_children(tmp_path: Path) -> None:
    (tmp_path / "crawl.py").write_text("raise AssertionError\n")
    path = os.pathsep.join((".", str(tmp_path), str(HOME)))
    assert _printed(LEAVE, tmp_path, path) == f"{HOME} 1 {HOME}/crawl/__init__.py"


def test_a_clone_that_is_the_working_directory_stays(tmp_path: Path) -> None:
    assert _printed(LEAVE, HOME, str(HOME)) == f"{HOME} 1 {HOME}/crawl/__init__.py"


def test_a_working_directory_that_was_removed_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    removing = f"import os; os.chdir('{tmp_path}/gone'); os.rmdir('{tmp_path}/gone'); {LEAVE}"
    assert _printed(removing, HOME, str(HOME)) == f"{HOME} 1 {HOME}/crawl/__init__.py"
