"""The door: ``moodarchive``, or ``python -m moodarchive``, sees to it that our packages are ours, then opens.

It lies in the core, whose name nobody else's module has. What opens is the entry point that this distribution
registers, so that the core knows no command line.
"""

import sys
from importlib.metadata import distribution

from moodarchive.running.own_packages import foreign_package, leave_working_directory


def main() -> None:
    """Runs the command line; exit 2 and one message where another's module has the name of one of our packages."""
    leave_working_directory()
    if problem := foreign_package():
        sys.exit(_refuse(problem))
    (command_line,) = distribution("moodarchive").entry_points.select(group="moodarchive.command_line")
    command_line.load()()


def _refuse(problem: str) -> int:
    print(f"error: {problem}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
