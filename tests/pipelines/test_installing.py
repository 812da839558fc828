"""What the make targets install can be resolved wherever torch comes from: its builds share a version, not a suffix."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from moodarchive.running.own_packages import HOME

pytestmark = pytest.mark.slow


def _stub_torch(folder: Path, version: str) -> Path:
    """A torch in name only: resolving reads nothing but its metadata."""
    path = folder / f"torch-{version}-py3-none-any.whl"
    info = f"torch-{version}.dist-info"
    files = {
        "torch.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD")))
    return path


@pytest.mark.parametrize(
    "version", ["2.13.0", *(pytest.param(build, marks=pytest.mark.torture) for build in ("2.13.0+cpu", "2.13.0+cu130"))]
)
def test_every_build_of_the_proven_torch_satisfies_the_pins(version: str, tmp_path: Path) -> None:
    stub = _stub_torch(tmp_path, version)
    environment, report = tmp_path / "environment", tmp_path / "report.json"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", str(stub)], check=True, capture_output=True)
    resolving = ["--dry-run", "--report", str(report), "--constraint", str(HOME / "constraints.txt"), f"{HOME}[demo]"]
    done = subprocess.run([*pip, *resolving], capture_output=True, text=True, check=False, timeout=500)
    if "connection" in done.stderr.lower():
        pytest.skip("no package index is reached from here")
    assert done.returncode == 0, done.stderr[-2000:]
    names = {package["metadata"]["name"].lower() for package in json.loads(report.read_text())["install"]}
    assert "torch" not in names, "the build that is there stays"
    assert {"moodarchive", "torchvision", "ray"} <= names
