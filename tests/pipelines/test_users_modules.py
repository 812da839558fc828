"""The program runs in a folder of Python files that bear the names of its packages, and imports none of them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from moodarchive.running.own_packages import HOME, PACKAGES
from tests.pipelines.running import COMMAND, signal_group

pytestmark = pytest.mark.slow
STEPS = """
output = "learned"
[data]
batch = 2
epochs = 1
streams = 1
workers = 0
[model]
name = "local-dir:{checkpoint}"
pretrained = ""
[optimiser]
warmup_steps = 1
[loop]
precision = "fp32"
threads = 1
"""


@pytest.fixture(scope="module")
def users_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as many engineers have one, and a demo archive that was built while standing in it."""
    folder = tmp_path_factory.mktemp("users")
    for name in PACKAGES:
        if name != "moodarchive":
            (folder / f"{name}.py").write_text(f"raise SystemExit('the user\\'s own {name}.py was imported')\n")
    done = _run(folder, "demo", "--root", "archive", "--images", "24", "--no-train")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _run(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **variables}
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=500, check=False
    )


def test_the_demo_builds_and_verify_proves_its_archive(users_folder: Path) -> None:
    done = _run(users_folder, "verify", "archive")
    assert (done.returncode, done.stdout.strip()) == (0, "archive: whole"), done.stderr
    assert (users_folder / "archive" / "manifest.json").exists()


@pytest.mark.parametrize("entry", [".", ""])
def test_a_working_directory_on_the_search_path_is_left_off(entry: str, users_folder: Path) -> None:
    path = os.pathsep.join((entry, str(users_folder), str(HOME)))
    done = _run(users_folder, "demo", "--root", "archive", "--images", "24", "--no-train", PYTHONPATH=path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("workers", [0, 1])
def test_train_and_eval_run_there(workers: int, users_folder: Path) -> None:
    from pipelines.demo.bundled import CHECKPOINT

    text = STEPS.format(checkpoint=CHECKPOINT).replace("learned", f"learned-{workers}")
    (users_folder / "train.toml").write_text(text + (f"[ray]\nworkers = {workers}\n" if workers else ""))
    done = _run(users_folder, "train", "train.toml", "--root", "archive")
    assert done.returncode == 0, done.stdout + done.stderr
    model = users_folder / f"learned-{workers}" / "model"
    assert (model / "open_clip_model.safetensors").exists()
    done = _run(users_folder, "eval", f"learned-{workers}/model", "--archive", "archive")
    assert "own" not in done.stderr and done.returncode == 0, done.stdout + done.stderr


def test_torchrun_starts_ranks_that_import_ours(users_folder: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=1", "-m", "moodarchive", "verify"]
    done = subprocess.run(
        [*command, "archive"], cwd=users_folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0 and "archive: whole" in done.stdout, done.stdout + done.stderr


@pytest.fixture
def page(users_folder: Path) -> Iterator[str]:
    """The study's page, served from the folder."""
    sampled = _run(users_folder, "study", "sample", "archive", "--n", "4", "--heldout", "2")
    assert sampled.returncode == 0, sampled.stdout + sampled.stderr
    serving = subprocess.Popen(
        [*COMMAND, "study", "serve", "archive", "--port", "0"], cwd=users_folder, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert serving.stdout is not None
    try:
        yield next(word for line in serving.stdout for word in line.split() if word.startswith("http"))
    finally:
        signal_group(serving, 15)
        serving.wait(20)


def test_the_study_s_page_is_served_there(page: str) -> None:
    assert requests.get(page, timeout=20).status_code == 200


def test_a_module_in_front_of_ours_is_named_with_the_remedy(users_folder: Path, tmp_path: Path) -> None:
    path = os.pathsep.join((str(users_folder), str(HOME)))
    done = _run(tmp_path, "--help", PYTHONPATH=path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"{users_folder}/crawl.py takes the place of" in done.stderr and "remedy: take" in done.stderr
