"""The door: ``moodarchive``, or ``python -m moodarchive``, sees to it that our packages are ours, then opens.

It lies in the core, whose name nobody else's module has; the command line is looked up by its name only.
"""

import sys
from importlib import import_module

from moodarchive.running.own_packages import foreign_package, leave_working_directory


def main() -> None:
    """Runs the command line; exit 2 and one message where another's module has the name of one of our packages."""
    leave_working_directory()
    if problem := foreign_package():
        sys.exit(_refuse(problem))
    import_module("pipelines.commands.app").main()


def _refuse(problem: str) -> int:
    print(f"error: {problem}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
