"""What `import editor` offers a script: typed names that cost nothing before they are used."""

import subprocess
import sys
from pathlib import Path

import pytest

import editor

HOUSE = Path(__file__).parents[2]
SCRIPT = """
import editor
from editor import Edit, load_method

settings = editor.default_settings("moodifier").model_copy(update={"steps": 4, "size": 64})
method = load_method("moodifier", "base", "model", settings)
photo = editor.read_picture("photo.jpg").image
edits = [Edit(image=photo, prompt="a girl laughs", seed=1)]
method.edit(edits, lambda done, total: None, lambda: False)[0].save("out.png")
editor.write_edit(5)
load_method(1, "base", None, settings)
"""


def test_every_name_is_there_and_an_unknown_one_is_an_attribute_error() -> None:
    for name in editor.__all__:
        assert getattr(editor, name) is not None
    assert set(editor.__all__) <= set(dir(editor))
    assert set(editor.__all__) == set(editor._MODULE_OF)
    with pytest.raises(AttributeError, match="no attribute 'paint'"):
        editor.paint  # noqa: B018


def test_importing_the_package_imports_no_library() -> None:
    script = "import sys; import editor; print([m for m in ('torch', 'numpy', 'PIL', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=HOUSE)
    assert done.stdout.strip() == "[]"


def test_a_users_script_is_typed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    assert (HOUSE / "editor" / "py.typed").is_file()
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(HOUSE / ".mypy_cache"), str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HOUSE)
    errors = [line for line in done.stdout.splitlines() if "error:" in line]
    assert {line.split(":")[1] for line in errors} == {"10", "11"}, done.stdout
