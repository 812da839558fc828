"""The commands that README and docs show, and how one is executed as it stands."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.docs.commands import commands_on

HOUSE = Path(__file__).parents[2]
PAGES = [HOUSE / "README.md", *sorted((HOUSE / "docs").glob("*.md"))]
TOLD_ELSEWHERE = {"docs/tutorial.md", "docs/log.md"}
"""The tutorial has a test of its own; the log is history."""
CLOSED = "http://127.0.0.1:9"
"""Nobody listens there: the hub of a machine without internet."""
REFUSED = {
    r"run \S*one-gpu\.toml": r"/absent/python has no vLLM; remedy: pip install 'moodarchive\[vllm\]'.*servers\.python",
    r"run \S*eight-million\.toml": r"/data/lists/\S+ is not there; remedy: name a file, a folder or a glob of lists",
    r"run \S*cluster-s3\.toml": r"s3://your-bucket/moodarchive: .*credentials; remedy: set AWS_ACCESS_KEY_ID",
    r"embed \S*eight-million\.toml": r"/data/lists/\S+ is not there; remedy: name a file, a folder or a glob of lists",
    r"pairs build \S*emopair\.toml": r"there is no folder clip-filtered-dataset; remedy: .*docs/emoeditor\.md",
    r"train \S*/predictor\.toml": r"EmoSet-118K holds no info\.json; remedy: .*vcc\.tech/EmoSet",
    r"train \S*/emoeditor\.toml": r"base = 'instruct-pix2pix': there is no such folder; remedy: .*hf download",
    r"train \S*/epem\.toml": r"base = 'stable-diffusion-v1-5': there is no such folder; remedy: .*docs/epem\.md",
    r"train \S*/vit-b-16\.toml": r"ViT-B-16-quickgelu.* cannot be loaded: .*cannot be reached.*; remedy: .*HF_HOME",
    r"eval .*--data": r"Emotion6.*remedy",
    r"eval \S+ --baseline \S+$": r"ViT-B-16-quickgelu.* cannot be loaded: .*cannot be reached.*; remedy: .*HF_HOME",
}
"""Pattern of a command that needs a GPU, a hub, a cluster or a published data set → what it says where that lacks."""
LONG = {
    r"train \S*/demo-predictor\.toml": r"^predictor: step 1/600 ",
    r"train \S*/demo-emoeditor\.toml": r"^emoeditor: step 1/2,000 ",
    r"train \S*/diffusion\.toml": r"^drawing 28,800 pictures",
    r"pairs build \S*/drawn\.toml": "runs/drawn-pairs/requests/*.json",
}
"""Pattern of a command that works for minutes or hours → the line, or the file, by which it is seen to be at work."""


@dataclass(frozen=True)
class Shown:
    """A command, and the page that shows it."""

    page: str
    command: str

    @property
    def is_ours(self) -> bool:
        """True for the program's own verbs."""
        return self.command.removeprefix(".venv/bin/").startswith("moodarchive ")

    def entry_of(self, table: Mapping[str, str]) -> str | None:
        """The table's entry whose pattern the command meets."""
        return next((entry for pattern, entry in table.items() if re.search(pattern, self.command)), None)

    def __str__(self) -> str:
        return f"{self.page}: {self.command}"


SHOWN = [
    Shown(page.relative_to(HOUSE).as_posix(), command)
    for page in PAGES
    if page.relative_to(HOUSE).as_posix() not in TOLD_ELSEWHERE
    for command in commands_on(page)
]


def execute(
    command: str, folder: Path, surroundings: Mapping[str, str], *, timeout_s: float = 500
) -> "subprocess.CompletedProcess[str]":
    """What a shell makes of the command in that folder."""
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=dict(surroundings),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
