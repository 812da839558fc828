"""A command that README or docs show, and that needs what a small machine lacks, is executed there as it stands.

It ends soon, changes nothing, and says what lacks and what to do: no hub answers, no data set is there, no vLLM, no
object store.
"""

import os
import re
import shutil
import sys
import time
from pathlib import Path

import pytest

from moodarchive.storage.store import Store
from pipelines.editing.sets.emopair.build import build_pairs
from tests.docs.shown import CLOSED, HOUSE, REFUSED, SHOWN, Shown, execute
from tests.editor.small_models import small_moodify
from tests.moodarchive.diffusion.small_epem import drawn_records
from tests.pipelines.editing.sets.emopair.sets import drawn_settings
from tests.validate.study.archives import study_archive

LONGEST_S = 120.0
"""Most take two to ten seconds; a machine may be busy, but a retrying client would take minutes."""
OFFERED = ("AWS_", "HF_", "RAY_", "MOODARCHIVE_")
"""What variables begin with by which a machine may have what is to lack."""


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What can be made here: a sealed archive with a model, pairs and records; so the command gets to what lacks."""
    folder = tmp_path_factory.mktemp("furnished")
    shutil.copytree(HOUSE / "configs", folder / "configs")
    study_archive(Store(str(folder / "runs" / "archive")))
    shutil.copytree(small_moodify(tmp_path_factory.mktemp("moodify")), folder / "runs" / "archive" / "model")
    build_pairs(drawn_settings(count=4), str(folder / "runs" / "pairs"), on_ray=False)
    drawn_records(folder / "runs" / "lavc", count=3)
    return folder


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder with nothing but the settings: what builds an archive begins there."""
    shutil.copytree(HOUSE / "configs", tmp_path / "configs")
    return tmp_path


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine without internet, credentials, cluster and vLLM."""
    binaries = tmp_path / "home" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "moodarchive").symlink_to(Path(sys.executable).with_name("moodarchive"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OFFERED)}
    return {
        **kept,
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "HOME": str(tmp_path / "home"),
        "HF_ENDPOINT": CLOSED,
        "HF_HOME": str(tmp_path / "home" / "hub"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "MOODARCHIVE_VLLM_PYTHON": "/absent/python",
    }


@pytest.mark.slow
@pytest.mark.parametrize("shown", [shown for shown in SHOWN if shown.is_ours and shown.entry_of(REFUSED)], ids=str)
def test_what_lacks_here_is_named_with_the_remedy(
    shown: Shown, furnished: Path, bare: Path, surroundings: dict[str, str]
) -> None:
    folder = bare if re.search(r"moodarchive (run|embed|pairs build) ", shown.command) else furnished
    before = _files_in(folder)
    began = time.monotonic()
    done = execute(shown.command.removeprefix(".venv/bin/"), folder, surroundings, timeout_s=LONGEST_S)
    seconds = time.monotonic() - began
    assert done.returncode in (1, 2), f"$ {shown.command}\n{done.stdout}{done.stderr}"
    assert re.search(str(shown.entry_of(REFUSED)), done.stderr), done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert seconds < LONGEST_S
    assert _files_in(folder) == before


def _files_in(folder: Path) -> set[str]:
    """But for the settings of a set, which its build records first."""
    home = folder / "home"
    files = (path for path in folder.rglob("*") if path.is_file() and home not in path.parents)
    return {str(path.relative_to(folder)) for path in files} - {"runs/pairs/settings.json"}
