"""The editor that another program asked for last stays loaded, so that calls with equal tools load nothing anew."""

import threading

from editor.job import Editor
from editor.tools import Tools, make_editor

_lock = threading.Lock()
_last: list[tuple[Tools, Editor]] = []


def load_editor(tools: Tools) -> Editor:
    """The editor of these tools; one with other tools is let go first, so that one model is held at a time."""
    with _lock:
        if _last and _last[0][0] == tools:
            return _last[0][1]
        _last.clear()
        editor = make_editor(tools)
        _last.append((tools, editor))
        return editor
