"""Every command that README and docs show is executed as it stands, in a folder where the names they use are real.

Here are those that come to a good end. What needs more than a small machine has is executed in test_refusals.py, what
works for minutes in test_long_commands.py.
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
import requests
import typer
from PIL import Image

from editor.evaluation.clip_score import CLIP as MEASURING_CLIP
from editor.evaluation.structure import DINO
from moodarchive.storage.store import Store
from pipelines.demo.bundled import CLIP
from pipelines.demo.edits import DRAWINGS
from pipelines.demo.pairs.drawing import draw_paired
from pipelines.demo.pairs.moods import Mood
from pipelines.editing.sets.emopair.build import build_pairs
from pipelines.editing.sets.lavc.build import build_lavc
from pipelines.editing.sets.lavc.settings import LavcSettings
from tests.annotate.described_part import GOOD as DESCRIPTION
from tests.docs.commands import blocks_on
from tests.docs.made_models import make_demo_emoeditor, make_demo_learnt_from, make_editors, make_moodify_clip
from tests.docs.shown import HOUSE, LONG, REFUSED, SHOWN, Shown, execute
from tests.editor.evaluation.measuring_models import measuring_models
from tests.editor.plan_server import GOOD as PLAN
from tests.editor.plan_server import plan_server
from tests.editor.small_models import small_base
from tests.hub_server import hub_of
from tests.pipelines.drawn_lists import drawn_rows, write_common
from tests.pipelines.editing.sets.emopair.sets import drawn_settings
from tests.validate.study.archives import study_archive
from tests.whole_root import built_root

FOREIGN = ("ray", "torchrun", "sbatch", "docker", "kubectl", "aws", "pip", "uv", "pipx", "python3", "export")


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
    build_pairs(drawn_settings(count=4), str(folder / "runs" / "pairs"), on_ray=False)
    shutil.copy(drawings / "2-land-joy.png", folder / "drawing.png")
    workshop = tmp_path_factory.mktemp("workshop")
    make_moodify_clip(folder / "runs", workshop)
    make_editors(folder / "runs", workshop)
    make_demo_learnt_from(folder / "runs")
    make_demo_emoeditor(folder / "runs")
    shutil.copytree(folder / "runs" / "archive" / "model", folder / "ROOT" / "model")
    write_common(folder / "lists" / "commoncatalog" / "0.parquet", drawn_rows(12))
    (folder / "CONFIG").write_text(CONFIG)
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "moodarchive").symlink_to(Path(sys.executable).with_name("moodarchive"))
    yield folder


CONFIG = f"""
[run]
root = "runs/described"
ray_address = "local"
[descriptors]
emotions = ["joy"]
phrases_per_cell = 2
[search]
user_agent = "MoodArchive-test/0.1 (loopback only; a@b.example)"
[sources.openverse]
enabled = false
[sources.catalogues.common]
preset = "commoncatalog"
files = ["lists/commoncatalog"]
[caption]
servers = ["http://127.0.0.1:8000"]
[score]
model = "{CLIP}"
pretrained = ""
"""
"""Of an archive of drawings that lie in a list's rows, which a server at the address describes."""


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
    """The environment: a hub on loopback that has small models under the published ones' names."""
    base = Path(small_base(tmp_path_factory.mktemp("base"), cell=8))
    measures = measuring_models(tmp_path_factory.mktemp("measures"))
    measured_by = {DINO: Path(measures.dino), MEASURING_CLIP: Path(measures.clip)}
    with hub_of(base, "SimianLuo/LCM_Dreamshaper_v7", measured_by) as (address, _):
        yield {
            **os.environ,
            "PATH": f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}",
            "HF_ENDPOINT": address,
            "HF_HOME": str(folder / "hub"),
            "HF_HUB_OFFLINE": "0",
        }


EXECUTED = [shown for shown in SHOWN if shown.is_ours and not shown.entry_of(REFUSED) and not shown.entry_of(LONG)]


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({shown.page for shown in EXECUTED}))
def test_commands_run_as_they_stand(page: str, folder: Path, surroundings: dict[str, str]) -> None:
    commands = [shown.command for shown in EXECUTED if shown.page == page]
    for command in sorted(commands, key=lambda one: "edit-eval" in one):  # it measures what a later line has edited
        if "--to prolific" in command:  # another study, of an archive that no program has answered for
            shutil.rmtree(folder / "ROOT")
            shutil.copytree(folder / "runs" / "demo", folder / "ROOT")
            assert execute("moodarchive study sample ROOT --n 10000", folder, surroundings).returncode == 0
        if "--checked STUDY" in command:  # "then serve, import and report"
            for step in ("serve STUDY --kind checks --annotators 3", "import STUDY --kind checks --from page"):
                _run_to_its_end(f"moodarchive study {step}", folder, surroundings)
            _run_to_its_end("moodarchive study report STUDY --kind checks", folder, surroundings)
        with _served_model(command):
            _run_to_its_end(command, folder / "changing" if page == "docs/changing.md" else folder, surroundings)
        if command.startswith("moodarchive study import") and "--kind" not in command:
            # nobody answered the page meanwhile
            _run_to_its_end(command.replace("--from page", "--from simulated"), folder, surroundings)


def _run_to_its_end(command: str, folder: Path, surroundings: dict[str, str]) -> None:
    serves = re.search(r"moodarchive (study serve|studio|browse) ", command)
    done = (_serve_and_stop if serves else execute)(command, folder, surroundings)
    assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"


@pytest.mark.slow
def test_the_readme_s_program_runs_as_it_stands(folder: Path, surroundings: dict[str, str]) -> None:
    (block,) = [block for block in blocks_on(HOUSE / "README.md") if block.language == "python"]
    (folder / "program.py").write_text(block.text)
    done = execute(f"{sys.executable} program.py", folder, surroundings)
    assert done.returncode == 0, done.stderr


def _served_model(command: str) -> AbstractContextManager[object]:
    """A small server at the address that a command names, which answers every question with what is asked there."""
    if "--server http://127.0.0.1:8000" not in command and "run CONFIG" not in command:
        return nullcontext()
    describes = "--server" not in command or "caption-sample" in command
    return plan_server({**DESCRIPTION, "nudity": "no", "gore": "no"} if describes else PLAN, port=8000)


def _serve_and_stop(command: str, folder: Path, surroundings: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Ctrl-C once the server has told its addresses; what it ends with after that counts as 0 when it is 0 or 130.

    The pages of edits and records are answered before, because nobody simulates their workers.
    """
    process = subprocess.Popen(
        shlex.split(command), cwd=folder, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout
    links = int(re.findall(r"--annotators (\d+)", command)[0]) if "--kind" in command else 1
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if sum("http://" in one for one in lines) == links:
            break
    addresses = re.findall(r"http://\S+", "".join(lines))
    if "--kind" in command:
        for link in addresses:
            _answer_all(link)
    elif addresses:
        time.sleep(1)
    process.send_signal(signal.SIGINT)
    lines.append(process.communicate(timeout=60)[0])
    code = 0 if process.returncode == 130 else process.returncode
    return subprocess.CompletedProcess(command, code, "".join(lines), "")


def _answer_all(link: str) -> None:
    """As a person who finds every check right, and the first of what is shown the best."""
    requests.post(f"{link}/trained", json={}, timeout=10)
    while asked := requests.get(f"{link}/next", timeout=10).json()["asked"]:
        if edits := asked.get("edits"):
            answer = dict.fromkeys(("look", "emotion", "overall"), edits[:3])
        elif candidates := asked.get("candidates"):
            answer = {"best": candidates[0]}
        else:
            answer = dict.fromkeys(("span", "emotion", "caption", "picture"), True)
        assert requests.post(f"{link}/answer", json={"item": asked["item"], **answer}, timeout=10).ok
