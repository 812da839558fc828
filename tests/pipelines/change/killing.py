"""Changes of an archive that are killed, by SIGKILL, at a chosen one of their file operations."""

import json
import os
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from moodarchive.archive.writer_lock import only_writer
from moodarchive.storage.store import Store
from pipelines.change.migrate import migrate
from pipelines.change.reseal import finish
from pipelines.change.verbs import go_on, prune, take_down
from shards.seal import unseal
from tests.version_2 import write_version_2
from tests.whole_root import Pictured, add_round

_OPERATIONS = ("replace", "unlink", "remove", "link", "fsync")
"""What makes, moves and removes files, and what makes them last."""


def _finish(store: Store) -> None:
    with only_writer(store):
        store.remove_drafts()
        go_on(store)
        finish(store)


def _take_down(store: Store) -> None:
    path = Path(store.root).parent / "list.txt"
    path.write_text(f"{Pictured(7).url}\n{Pictured(10).key}\ncreator: Ann Müller 2\n")
    take_down(store, str(path), lambda _: None)


def _set_percentile(store: Store) -> None:
    settings = json.loads(store.read_bytes("settings.json"))
    settings["whole_table"]["cut"].update(percentile=40.0, heldout=0.3)
    store.write_bytes("settings.json", json.dumps(settings, indent=1, sort_keys=True).encode())


def _pruned(store: Store) -> None:
    prune(store, lambda _: None)


def _pruned_then_set(store: Store) -> None:
    _pruned(store)
    _set_percentile(store)


def _found_again(store: Store) -> None:
    """A later round that finds half of the pictures under an emotion that fits better, and two new ones."""
    again = dict.fromkeys(range(0, 14, 2), ("love", "facial_expressions"))
    add_round(store, [100, 101, *again], again)


def _pruned_and_found_again(store: Store) -> None:
    _pruned(store)
    _found_again(store)


def _make_version_2(store: Store) -> None:
    write_version_2(store, lacking={"captions": ("seed",)})


def _migrate(store: Store) -> None:
    migrate(store, lambda _: None)


def _nothing(_: Store) -> None:
    return


Step = Callable[[Store], None]
CHANGES: Mapping[str, tuple[Step, Step]] = {
    "pack": (_set_percentile, _finish),
    "seal": (unseal, _finish),
    "takedown": (_nothing, _take_down),
    "prune": (_nothing, _pruned),
    "takedown after prune": (_pruned, _take_down),
    "pack after prune": (_pruned_then_set, _finish),
    "migrate": (_make_version_2, _migrate),
    "better emotions": (_found_again, _finish),
    "better emotions after prune": (_pruned_and_found_again, _finish),
}
"""What is made ready first, and what is then killed."""


def run_change(root: str, name: str, kill_at: int | None, counted: Any = None) -> None:
    """Carries the change out; with ``kill_at`` the process dies at that operation: before it when the number is even.

    ``counted``, a shared number, tells how many operations there were.
    """
    done = 0

    def wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
        def operate(*arguments: Any, **named: Any) -> Any:
            nonlocal done
            if threading.current_thread().daemon:  # the heartbeat: how often it beats is a matter of the machine's load
                return original(*arguments, **named)
            done += 1
            if done == kill_at and kill_at % 2 == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            found = original(*arguments, **named)
            if done == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return operate

    for operation in _OPERATIONS:
        setattr(os, operation, wrapped(getattr(os, operation)))
    CHANGES[name][1](Store(root))
    if counted is not None:
        counted.value = done
