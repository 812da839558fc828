"""Accessibility of a page in the browser, judged by axe-core from npm: a page may have no serious fault."""

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

VERSION = "4.14.1"
SERIOUS = ("serious", "critical")


@cache
def _source() -> str:
    """axe's script; the test is skipped where npm cannot give it."""
    folder = Path(tempfile.gettempdir()) / f"moodarchive-axe-{VERSION}"
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is not installed: apt-get install npm")
        folder.mkdir(exist_ok=True)
        command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", f"axe-core@{VERSION}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            pytest.skip(f"npm does not give axe-core: {done.stderr[-200:]}")
    return script.read_text("utf-8")


def find_faults(tab: Any) -> list[str]:
    """The page's serious and critical faults as it stands now: rule, what is wrong, and the elements.

    ``tab`` is Playwright's page. The script is evaluated from outside, so that a strict policy of the page allows it.
    """
    tab.evaluate(_source())
    result = tab.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{fault['id']}: {fault['help']}: {', '.join(str(node['target']) for node in fault['nodes'][:5])}"
        for fault in result["violations"]
        if fault["impact"] in SERIOUS
    ]
