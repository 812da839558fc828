"""The commands and Python blocks that a Markdown page shows."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = (
    "moodarchive ", ".venv/bin/", "make ", "pip ", "python", "uv ", "pipx ", "export ", "ray ", "torchrun ", "sbatch ",
    "docker ", "kubectl ", "aws ", "bash ", "tar ", "echo ",
)  # fmt: skip
_REMARK = re.compile(r"\s{2,}#.*$|\s{3,}\S.*$")
"""What follows a command after three blanks, or after two and a hash, tells of it."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line on which it begins."""

    language: str
    text: str
    line: int


def commands_on(page: Path) -> Iterator[str]:
    """Each command of the page's indented and fenced code, continuation lines joined, remarks left out."""
    lines = iter(_code(page.read_text("utf-8")))
    for line in lines:
        command = line
        if not command.startswith(PROGRAMS):
            continue
        while command.endswith("\\"):
            command = command[:-1].rstrip() + " " + next(lines).strip()
        yield _REMARK.sub("", command).strip()


def blocks_on(page: Path) -> list[Block]:
    """The page's fenced blocks."""
    text = page.read_text("utf-8")
    return [
        Block(language=match[1], text=match[2], line=text.count("\n", 0, match.start()) + 1)
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


def sessions_in(block: Block) -> Iterator[tuple[str, str]]:
    """(command, what it prints) of a console block; in what is printed, ``...`` stands for anything."""
    for step in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, printed = step.partition("\n")
        yield command, printed


def _code(text: str) -> Iterator[str]:
    fence = ""
    after_blank, indented = True, False
    for line in text.splitlines():
        if line.startswith("```"):
            fence = "" if fence else line.removeprefix("```") or "text"
        elif fence:
            if fence in ("sh", "bash") or (fence == "console" and line.startswith("$ ")):
                yield line.strip().removeprefix("$ ")
        else:
            indented = line.startswith("    ") and (indented or after_blank)
            if indented:
                yield line.strip()
            after_blank = not line.strip()
