"""The bundled editor: an exported checkpoint steers a diffusion model towards an emotion.

For scripts, the names below; each is imported when it is first used, so that ``import editor`` costs nothing::

    import editor

    settings = editor.default_settings("moodifier").model_copy(update={"steps": 15})
    moodifier = editor.load_method("moodifier", "SimianLuo/LCM_Dreamshaper_v7", "runs/archive/model", settings)
    photo = editor.read_picture("photo.jpg").image
    edits = [editor.Edit(image=photo, prompt="a girl laughs", seed=1)]
    (joyful,) = moodifier.edit(edits, lambda done, total: None, lambda: False)

``load_method`` gives a ``Method`` that makes ``Edit``s; ``Editor`` adds what finds prompt and region for an emotion
(``Planner``, asked with an ``EditRequest``) and the record that ``write_edit`` puts into the file. Every error is a
``moodarchive.errors.MoodArchiveError`` with a remedy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from editor.edit import METHODS, Edit, EditSettings, EditStopped, Mask, Method, default_settings
    from editor.job import Editor, EditResult, settings_with
    from editor.loading import load_method
    from editor.pictures import SourcePicture, read_mask, read_picture
    from editor.planning.plan import EditPlan, EditRequest, Planner
    from editor.planning.regions import Box
    from editor.provenance import EditRecord, read_record, write_edit

__all__ = [
    "METHODS",
    "Box",
    "Edit",
    "EditPlan",
    "EditRecord",
    "EditRequest",
    "EditResult",
    "EditSettings",
    "EditStopped",
    "Editor",
    "Mask",
    "Method",
    "Planner",
    "SourcePicture",
    "default_settings",
    "load_method",
    "read_mask",
    "read_picture",
    "read_record",
    "settings_with",
    "write_edit",
]
_HOMES = {
    "edit": ("METHODS", "Edit", "EditSettings", "EditStopped", "Mask", "Method", "default_settings"),
    "job": ("Editor", "EditResult", "settings_with"),
    "loading": ("load_method",),
    "pictures": ("SourcePicture", "read_mask", "read_picture"),
    "planning.plan": ("EditPlan", "EditRequest", "Planner"),
    "planning.regions": ("Box",),
    "provenance": ("EditRecord", "read_record", "write_edit"),
}
_MODULE_OF = {name: f"editor.{module}" for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'editor' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
