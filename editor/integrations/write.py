"""Writes out the folder that another program loads."""

import json
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from moodarchive.errors import EditError, StorageFullError

PROGRAMS = ("diffusers", "comfyui")
INDEX = "modular_model_index.json"
"""What the diffusers folder remembers of method, base and model; a person's own values are kept."""


def write_folder(program: str, folder: Path, config: Mapping[str, str]) -> list[Path]:
    """The files that were written. A folder that holds anything else than an earlier copy is refused with EditError.

    ``config`` is what the diffusers pipeline loads (method, base, model, …); empty values leave what is there.
    """
    if program not in PROGRAMS:
        raise EditError(f"no folder is made for {program!r}; legal: {', '.join(PROGRAMS)}")
    if program != "diffusers" and any(config.values()):
        raise EditError(f"{program} is told of its models in its nodes; remedy: leave out the options")
    shipped = sorted(
        (each for each in (files("editor.integrations.folders") / program).iterdir() if each.is_file()),
        key=lambda each: each.name,
    )
    _refuse_foreign(folder, {each.name for each in shipped})
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for each in shipped:
            path = folder / each.name
            path.write_bytes(_index(each, path, config) if each.name == INDEX else each.read_bytes())
            written.append(path)
    except OSError as error:
        raise StorageFullError(f"{folder} cannot be written: {error.strerror}; remedy: another folder") from None
    return written


def _refuse_foreign(folder: Path, ours: set[str]) -> None:
    if folder.exists() and not folder.is_dir():
        raise EditError(f"{folder} is a file; remedy: name a new folder")
    if not folder.is_dir():
        return
    names = {path.name for path in folder.iterdir()} - {"__pycache__"}
    if foreign := sorted(names - ours):
        raise EditError(
            f"{folder} holds {foreign[0]}, which is not of ours; remedy: a new folder, such as DIR/comfyui-moodarchive"
        )


def _index(shipped: Traversable, path: Path, config: Mapping[str, str]) -> bytes:
    """The shipped index with what an earlier one holds of method, base and so on, and what is given now."""
    index = json.loads(shipped.read_text("utf-8"))
    try:
        earlier = json.loads(path.read_text("utf-8")) if path.exists() else {}
    except ValueError:
        raise EditError(f"{path} is no JSON; remedy: mend or remove it") from None
    index |= {name: earlier[name] for name in index if name in earlier and not name.startswith("_")}
    index |= {name: value for name, value in config.items() if value}
    return (json.dumps(index, indent=2, sort_keys=True) + "\n").encode()
