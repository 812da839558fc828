"""The wheel, installed into an environment of its own, is the whole program; and it notices what overwrote it."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from moodarchive import __version__
from moodarchive.running.own_packages import HOME, PACKAGES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the tree: a build leaves folders behind."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(HOME / name, source)
    for package in PACKAGES:
        shutil.copytree(HOME / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(built), str(source)]
    subprocess.run(pip, check=True, capture_output=True)
    (path,) = built.glob("*.whl")
    return path


def _other_distribution(folder: Path) -> Path:
    """A wheel that brings a top-level ``validate``, as configobj's does."""
    path = folder / "configobj-5.0.9-py3-none-any.whl"
    files = {
        "configobj/__init__.py": "",
        "configobj/validate.py": "class Validator: pass\n",
        "validate/__init__.py": "from configobj.validate import *\n",
        "configobj-5.0.9.dist-info/METADATA": "Metadata-Version: 2.1\nName: configobj\nVersion: 5.0.9\n",
        "configobj-5.0.9.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }  # fmt: skip
    record = "".join(f"{name},,\n" for name in (*files, "configobj-5.0.9.dist-info/RECORD"))
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, "configobj-5.0.9.dist-info/RECORD": record}.items():
            archive.writestr(name, text)
    return path


def _environment(folder: Path, *wheels: Path) -> Path:
    """An environment with these wheels in this order; what they need is borrowed from the one that runs the tests."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python3*/site-packages")
    (site / "beneath.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = folder / "bin" / "python"
    for path in wheels:
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
        # what lies beneath would count as installed already
        subprocess.run([*pip, "--ignore-installed", str(path)], check=True, capture_output=True)
    return folder / "bin" / "moodarchive"


def _run(command: Path, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(command), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def test_the_wheel_holds_every_package_typed_and_with_its_version(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert wheel.name.startswith(f"moodarchive-{__version__}-")


def test_the_installed_wheel_runs_the_demo(wheel: Path, tmp_path: Path) -> None:
    command = _environment(tmp_path / "environment", wheel)
    work = tmp_path / "work"
    work.mkdir()
    where = "import moodarchive, validate; print(moodarchive.__file__, moodarchive.__version__, validate.__file__)"
    printed = _run(command.with_name("python"), work, "-c", where).stdout
    assert printed.count(str(tmp_path / "environment")) == 2 and __version__ in printed
    done = _run(command, work, "demo", "--root", "archive", "--images", "24", "--no-train")
    assert done.returncode == 0, done.stdout + done.stderr
    assert _run(command, work, "verify", "archive").stdout.strip() == "archive: whole"


def test_a_distribution_that_overwrote_a_file_of_ours_is_named_with_the_remedy(wheel: Path, tmp_path: Path) -> None:
    command = _environment(tmp_path / "environment", wheel, _other_distribution(tmp_path))
    done = _run(command, tmp_path, "--help")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "/validate/__init__.py is not this program's own: configobj-5.0.9 wrote it; remedy: " in done.stderr


def test_installed_after_such_a_distribution_it_runs(wheel: Path, tmp_path: Path) -> None:
    command = _environment(tmp_path / "environment", _other_distribution(tmp_path), wheel)
    done = _run(command, tmp_path, "--help")
    assert done.returncode == 0 and "verify" in done.stdout, done.stderr
