"""The house rules that a program can check."""

import ast
import gc
import importlib
import re
import tomllib
from pathlib import Path

import pytest
import typer

HOUSE = Path(__file__).parent.parent
PACKAGES = (
    "moodarchive", "crawl", "annotate", "filter", "shards", "validate", "train", "editor", "pipelines",
)  # fmt: skip
SOURCES = [path for package in PACKAGES for path in sorted((HOUSE / package).rglob("*.py"))]
MAX_FILE_LINES, MAX_FUNCTION_LINES = 260, 45


@pytest.mark.parametrize("package", PACKAGES)
def test_root_packages_resolve_inside_the_repository(package: str) -> None:
    # another distribution may ship a top-level package of the same name (configobj has a `validate`)
    found = importlib.import_module(package).__file__
    assert found is not None and Path(found).is_relative_to(HOUSE)


def test_every_package_is_declared() -> None:
    declared = tomllib.loads((HOUSE / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    present = {
        path.parent.relative_to(HOUSE).as_posix().replace("/", ".") for path in SOURCES if path.name == "__init__.py"
    }
    assert set(declared) == present


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(HOUSE).as_posix())
def test_files_have_one_job_and_functions_fit_a_screen(path: Path) -> None:
    text = path.read_text()
    tree = _parsed(text)
    assert ast.get_docstring(tree), "no docstring that tells the file's job"
    assert len(text.splitlines()) <= MAX_FILE_LINES
    if path.name == "__init__.py":
        assert len(tree.body) == 1, "__init__.py holds one sentence"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"


def _parsed(text: str) -> ast.Module:
    """Without the collector: what it ends while Python 3.11 makes a tree can fail that tree (SystemError)."""
    gc.disable()
    try:
        return ast.parse(text)
    finally:
        gc.enable()


def _verbs() -> list[str]:
    from pipelines.commands.app import app

    return sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_every_verb_is_documented_and_no_other() -> None:
    readme = (HOUSE / "README.md").read_text()
    documented = set(re.findall(r"^\| `moodarchive ([a-z-]+)", readme, re.MULTILINE))
    assert documented == set(_verbs())


def test_the_tables_page_is_generated_from_the_schemas() -> None:
    from moodarchive.tables.tables_page import markdown

    assert (HOUSE / "docs" / "tables.md").read_text() == markdown() + "\n"


def test_every_shipped_config_is_valid() -> None:
    from moodarchive.settings import load
    from pipelines.settings import read_settings
    from train.settings import TrainSettings

    configs = sorted((HOUSE / "configs").glob("*.toml"))
    assert configs
    for path in configs:
        read_settings(str(path))
    trainings = sorted((HOUSE / "configs" / "train").glob("*.toml"))
    assert trainings
    for path in trainings:
        load(TrainSettings, path.read_text(), str(path))


def test_the_error_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    from moodarchive import errors

    classes = {name for name, value in vars(errors).items() if isinstance(value, type)}
    drawn = set(re.findall(r"\b[A-Z]\w+Error\b", errors.__doc__ or ""))
    assert drawn == classes


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(HOUSE).as_posix())
def test_small_tables_are_read_without_the_scanner_that_aborts_ending_processes(path: Path) -> None:
    if path.name == "parquet.py":
        return
    assert "pq.read_table(" not in path.read_text()  # moodarchive/tables/parquet.py tells why
