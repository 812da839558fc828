"""What the cluster guide hands out is whole: the image, the Kubernetes job and the SLURM script name what exists."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile_parse import DockerfileParser

from moodarchive.running.own_packages import PACKAGES
from pipelines.settings import read_settings

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SBATCH = ROOT / "configs/cluster/moodarchive.sbatch"
RAYJOB = ROOT / "configs/cluster/rayjob.yaml"


def _instructions(kind: str) -> list[str]:
    parsed = DockerfileParser(fileobj=(ROOT / "Containerfile").open("rb"))
    return [line["value"] for line in parsed.structure if line["instruction"] == kind]


def _copied() -> list[str]:
    """What the build takes from the project's folder."""
    return [name for line in _instructions("COPY") if "--from" not in line for name in line.split()[:-1]]


def test_the_image_is_built_from_files_extras_and_stages_that_exist() -> None:
    assert all((ROOT / name).exists() for name in _copied())
    assert set(PACKAGES) <= set(_copied())
    stages = [line.split()[-1] for line in _instructions("FROM") if " AS " in line]
    used = [re.findall(r"--from=(\w+)", line) for line in _instructions("COPY")]
    assert {name for names in used for name in names} <= set(stages)
    extras = re.findall(r'install "[.]\[([\w,]+)\]"', " ".join(_instructions("RUN")))
    assert extras and set(extras[0].split(",")) <= set(PROJECT["optional-dependencies"])
    pinned = PROJECT["optional-dependencies"]["clip"]
    torch = next(line for line in _instructions("RUN") if "torch==" in line)
    assert all(wanted in torch for wanted in pinned if wanted.startswith("torch"))


def test_the_image_runs_the_command_as_nobody_special() -> None:
    assert json.loads(_instructions("ENTRYPOINT")[-1])[0] in PROJECT["scripts"]
    assert _instructions("USER") == ["1000"]
    assert not any(re.search(r"(SECRET|TOKEN|ACCESS_KEY)", line) for line in _instructions("ENV"))
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".env", ".git", "runs"} <= set(ignored)


@pytest.mark.slow
def test_what_the_image_copies_installs_to_a_command_that_works(tmp_path: Path) -> None:
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    for name in _copied():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(source)]
    subprocess.run(pip, check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-P", "-m", "moodarchive", "plan", str(ROOT / "configs/cluster-s3.toml")]
    done = subprocess.run(
        [*command, "--images", "1000000"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "GPU" in done.stdout, done.stdout + done.stderr
    missing = [
        str(path.relative_to(ROOT))
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not (site / path.relative_to(ROOT)).exists()
    ]
    assert missing == []


def _rayjob() -> dict[str, Any]:
    job: dict[str, Any] = yaml.safe_load(RAYJOB.read_text())
    return job


def test_the_kubernetes_job_runs_a_command_and_settings_that_exist() -> None:
    job = _rayjob()
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    words = job["spec"]["entrypoint"].split()
    _is_a_run(words)
    head = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    mounted = head["containers"][0]["volumeMounts"][0]["mountPath"]
    assert words[2].startswith(f"{mounted}/")
    comment = re.search(r"--from-file=(\S+)=(\S+)", RAYJOB.read_text())
    assert comment and words[2].endswith(f"/{comment[1]}")
    assert read_settings(str(ROOT / comment[2])).run.ray_address == "auto"


def test_the_kubernetes_job_uses_one_ray_and_one_image_without_secrets() -> None:
    cluster = _rayjob()["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    containers = [group["template"]["spec"]["containers"][0] for group in groups]
    assert len({container["image"] for container in containers}) == 1
    assert all("env" not in container for container in containers)
    assert {container["envFrom"][0]["secretRef"]["name"] for container in containers} == {"moodarchive-s3"}
    assert "kubectl create secret generic moodarchive-s3" in RAYJOB.read_text()
    (ray,) = [line for line in _instructions("ARG") if line.startswith("RAY=")]
    assert ray == f"RAY={cluster['rayVersion']}"
    assert [group["minReplicas"] for group in cluster["workerGroupSpecs"] if group["groupName"] == "gpu"] == [0]


def _is_a_run(words: list[str]) -> None:
    from typer.testing import CliRunner

    from pipelines.commands.app import app

    assert words[:2] == ["moodarchive", "run"]
    help_text = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"}).stdout
    assert all(word in help_text for word in words if word.startswith("--"))


def test_the_slurm_script_is_sound_and_runs_a_command_that_exists() -> None:
    assert subprocess.run(["bash", "-n", SBATCH], check=False).returncode == 0
    if checker := shutil.which("shellcheck"):
        done = subprocess.run([checker, SBATCH], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    text = SBATCH.read_text()
    run = re.search(r"^(moodarchive run .*) &$", text, re.MULTILINE)
    assert run
    _is_a_run(run[1].replace('"', "").split())
    usage = re.search(r"sbatch (\S+) (\S+) s3://", text)
    assert usage and (ROOT / usage[1]).exists() and (ROOT / usage[2]).exists()


SRUN = """#!/usr/bin/env bash
while [[ "$1" == --* ]]; do shift; done
exec "$@"
"""
SCONTROL = """#!/usr/bin/env bash
if [ "$1" = show ]; then echo 127.0.0.1; else echo "$*" >> "$REQUEUED"; fi
"""
MOODARCHIVE = """#!/usr/bin/env bash
exec python -m moodarchive "$@"
"""
WAITS = """#!/usr/bin/env bash
trap 'exit 130' TERM
touch "$STARTED"
while true; do sleep 0.1; done
"""


def _machine(folder: Path, moodarchive: str) -> dict[str, str]:
    """SLURM's commands as they act on a job of two tasks on one machine; all else on the path is real."""
    for name, text in {"srun": SRUN, "scontrol": SCONTROL, "moodarchive": moodarchive}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    job = {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "2"}
    port = {"RAY_PORT": "46379", "REQUEUED": str(folder / "requeued"), "STARTED": str(folder / "started")}
    path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, **job, **port, "PATH": path, "PYTHONPATH": str(ROOT), "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1"}


@pytest.mark.alone
@pytest.mark.torture
def test_the_slurm_script_starts_ray_runs_and_ends_everything(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[search]\nuser_agent = "MoodArchive test"\n')
    arguments = [str(tmp_path / "config.toml"), str(tmp_path / "root")]
    checks = MOODARCHIVE.replace('"$@"', '"$@" --until descriptors') + ""
    counted = 'python -c \'import ray; ray.init(logging_level="ERROR"); print(len(ray.nodes()), "nodes")\'\n'
    environment = _machine(tmp_path, checks.replace("exec", f"sleep 8; {counted}exec"))
    done = subprocess.run(
        ["bash", SBATCH, *arguments], env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 nodes" in done.stdout
    assert (tmp_path / "root/descriptors/00000.json").exists()
    assert not (tmp_path / "requeued").exists()


@pytest.mark.alone
@pytest.mark.torture
def test_the_slurm_script_queues_again_when_its_time_is_up(tmp_path: Path) -> None:
    process = subprocess.Popen(
        ["bash", SBATCH, "config.toml", "root"], env=_machine(tmp_path, WAITS), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    while not (tmp_path / "started").exists() and process.poll() is None:
        signal.sigtimedwait([], 0.1)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert (tmp_path / "requeued").read_text().split() == ["requeue", "7"]
