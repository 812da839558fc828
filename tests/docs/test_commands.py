"""Every command that README and docs show is executed as it stands, in a folder where the names they use are real.

What needs a GPU, the network, a hub's weights or a cluster's programs cannot be executed on every machine: such a
command goes through the command line's own parser (an unknown verb or option fails), and each file that it names must
be there.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import click
import pytest
import typer
from PIL import Image

from moodarchive.storage.store import Store
from pipelines.demo.edits import DRAWINGS
from pipelines.demo.pairs.drawing import draw_paired
from pipelines.demo.pairs.moods import Mood
from pipelines.lavc.build import build_lavc
from pipelines.lavc.settings import LavcSettings
from tests.annotate.described_part import GOOD as DESCRIPTION
from tests.docs.commands import blocks_on
from tests.docs.shown import HOUSE, LONG, REFUSED, SHOWN, Shown
from tests.editor.plan_server import GOOD as PLAN
from tests.editor.plan_server import plan_server
from tests.editor.small_models import small_base, small_moodify
from tests.hub_server import hub_of
from tests.validate.study.archives import study_archive
from tests.whole_root import built_root

FOREIGN = ("ray", "torchrun", "sbatch", "docker", "kubectl", "aws", "pip", "uv", "pipx", "python3", "export")
NEEDS_MORE = {
    r"moodarchive run CONFIG": "an archive with failed captions",
    r"moodarchive edit-eval ": "weights of a hub",
    r"moodarchive pairs verify": "a set",
    r"--method emoeditor": "an EmoEditor that was trained",
    r"--method epem": "an EPEM that was trained",
    r"moodarchive study report .*--kind (edits|checks|ranking)": "people's answers",
    r"--checked ": "people's answers",
}
"""Pattern of a command → what it needs that a test's machine lacks."""


def _missing_for(command: str) -> str:
    return next((why for pattern, why in NEEDS_MORE.items() if re.search(pattern, command)), "")


def test_the_pages_show_commands() -> None:
    assert len(SHOWN) > 40 and len({shown.page for shown in SHOWN}) > 8


@pytest.mark.parametrize("shown", [s for s in SHOWN if s.is_ours], ids=str)
def test_every_command_of_ours_is_understood_by_the_command_line(shown: Shown) -> None:
    from pipelines.commands.app import app

    words = shlex.split(shown.command, comments=True)[1:]
    command: click.Command = typer.main.get_command(app)
    context = click.Context(command, info_name="moodarchive")
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(context, words)  # type: ignore[assignment]
        context = click.Context(command, info_name=name, parent=context)
    command.make_context(shown.command, words)


@pytest.mark.parametrize("shown", [s for s in SHOWN if not s.is_ours], ids=str)
def test_what_is_given_to_other_programs_names_targets_extras_and_files_that_there_are(shown: Shown) -> None:
    words = shlex.split(shown.command, comments=True)
    program = Path(words[0]).name
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (HOUSE / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets)
        return
    if words[:2] == ["python", "-m"] and words[2].startswith("benchmarks."):
        assert (HOUSE / f"{words[2].replace('.', '/')}.py").is_file()
        return
    assert program in FOREIGN, f"{program}: no such program is known; remedy: add it here, or mend the page"
    for word in words[1:]:
        for extra in re.findall(r"moodarchive\[([\w,-]+)\]", word):
            assert f"\n{extra.split(',')[0]} = " in (HOUSE / "pyproject.toml").read_text()
        path = word.split("=", 1)[-1]
        if path.startswith(("configs/", "Containerfile", "docs/")):
            assert (HOUSE / path).exists(), f"{shown.page} names {path}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which ROOT, LIST, photo.jpg, runs/archive and so on are what the pages say they are."""
    folder = tmp_path_factory.mktemp("user")
    shutil.copytree(HOUSE / "configs", folder / "configs")
    study_archive(Store(str(folder / "ROOT")))
    shutil.copytree(folder / "ROOT", folder / "runs" / "demo")
    drawings = folder / "runs" / "demo" / DRAWINGS
    drawings.mkdir(parents=True)
    draw_paired("land", 0, Mood("joy", 0)).image.save(drawings / "2-land-joy.png")
    changing = folder / "changing"  # its tables have true inputs, so that the seal can be broken and made again
    (changing / "LIST").parent.mkdir()
    (changing / "LIST").write_text(f"key: {built_root(Store(str(changing / 'ROOT')))[0].key}\n")
    (folder / "panel.toml").write_text('completion_code = "C1A2B3"\nstudy_url = "https://study.example.org"\n')
    Image.new("RGB", (320, 240), "teal").save(folder / "photo.jpg")
    (folder / "mine.toml").write_text((HOUSE / "annotate" / "prompts" / "five_sentences.toml").read_text())
    (folder / "EXPORT.csv").write_text("Submission id,Participant id,Status\nnobody-s,nobody,AWAITING REVIEW\n")
    (folder / "photos" / "face").mkdir(parents=True)
    shutil.copy(folder / "photo.jpg", folder / "photos" / "face" / "one.jpg")
    _make_edits(folder / "FOLDER")
    shutil.copytree(folder / "FOLDER", folder / "runs" / "candidates")
    build_lavc(LavcSettings(count=3, size=32), str(folder / "SET"), on_ray=False)
    small_moodify(folder / "runs" / "archive" / "model")
    shutil.copytree(folder / "runs" / "archive" / "model", folder / "ROOT" / "model")
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "moodarchive").symlink_to(Path(sys.executable).with_name("moodarchive"))
    yield folder


def _make_edits(folder: Path) -> None:
    """A picture that four methods have edited, as the study of edits takes it."""
    folder.mkdir()
    rows = ["picture,emotion,method,file"]
    for number, method in enumerate(("one", "two", "three", "four")):
        Image.new("RGB", (64, 48), (60 * number, 90, 90)).save(folder / f"{method}.png")
        rows.append(f"picture.png,joy,{method},{method}.png")
    Image.new("RGB", (64, 48), "teal").save(folder / "picture.png")
    (folder / "edits.csv").write_text("\n".join([*rows, ""]))
    record = {"key": "a", "picture": "picture.png", "edited_picture": "one.png", "caption": "a lake"}
    changed = {"edited_caption": "a calm lake", "emotion": "anger", "target": "contentment", "instruction": "Calm it."}
    (folder / "checks.jsonl").write_text(json.dumps(record | changed) + "\n")
    candidates = [{"file": f"{method}.png", "text": f"make it {method}"} for method in ("one", "two")]
    ranked = {"key": "a", "source": "picture.png", "emotion": "anger", "candidates": candidates}
    (folder / "ranking.jsonl").write_text(json.dumps(ranked) + "\n")


@pytest.fixture(scope="module")
def surroundings(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment: a hub on loopback that has a small base under the published one's name."""
    base = Path(small_base(tmp_path_factory.mktemp("base"), cell=8))
    with hub_of(base, "SimianLuo/LCM_Dreamshaper_v7") as (address, _):
        yield {
            **os.environ,
            "PATH": f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}",
            "HF_ENDPOINT": address,
            "HF_HOME": str(folder / "hub"),
            "HF_HUB_OFFLINE": "0",
        }


EXECUTED = [
    shown
    for shown in SHOWN
    if shown.is_ours
    and shown.entry_of(REFUSED) is None
    and shown.entry_of(LONG) is None
    and not _missing_for(shown.command)
]


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({shown.page for shown in EXECUTED}))
def test_commands_run_as_they_stand(page: str, folder: Path, surroundings: dict[str, str]) -> None:
    shown_here = [shown for shown in EXECUTED if shown.page == page]
    for shown in shown_here:
        if "--to prolific" in shown.command:  # another study, of an archive that no program has answered for
            shutil.rmtree(folder / "ROOT")
            shutil.copytree(folder / "runs" / "demo", folder / "ROOT")
            assert _run("moodarchive study sample ROOT --n 10000", folder, surroundings).returncode == 0
        run = _serve_and_stop if re.search(r"moodarchive (study serve|studio|browse) ", shown.command) else _run
        with _served_model(shown.command):
            done = run(shown.command, folder / "changing" if page == "docs/changing.md" else folder, surroundings)
        assert done.returncode == 0, f"$ {shown.command}\n{done.stdout}{done.stderr}"
        if (
            shown.command.startswith("moodarchive study import") and "--kind" not in shown.command
        ):  # nobody answered the page meanwhile
            simulated = shown.command.replace("--from page", "--from simulated")
            assert _run(simulated, folder, surroundings).returncode == 0


@pytest.mark.slow
def test_the_readme_s_program_runs_as_it_stands(folder: Path, surroundings: dict[str, str]) -> None:
    (block,) = [block for block in blocks_on(HOUSE / "README.md") if block.language == "python"]
    (folder / "program.py").write_text(block.text)
    done = _run(f"{sys.executable} program.py", folder, surroundings)
    assert done.returncode == 0, done.stderr


def _served_model(command: str) -> AbstractContextManager[object]:
    """A small server at the address that a command names, which answers every question with what is asked there."""
    if "--server http://127.0.0.1:8000" not in command:
        return nullcontext()
    return plan_server(
        {**DESCRIPTION, "nudity": "no", "gore": "no"} if "caption-sample" in command else PLAN, port=8000
    )


def _run(command: str, folder: Path, surroundings: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=surroundings, capture_output=True, text=True, timeout=500, check=False
    )


def _serve_and_stop(command: str, folder: Path, surroundings: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Ctrl-C once the server has told its address; what it ends with after that counts as 0 when it is 0 or 130."""
    process = subprocess.Popen(
        shlex.split(command), cwd=folder, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "http://" in line:
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            break
    lines.append(process.communicate(timeout=60)[0])
    code = 0 if process.returncode == 130 else process.returncode
    return subprocess.CompletedProcess(command, code, "".join(lines), "")
