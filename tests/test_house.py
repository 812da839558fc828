"""The house rules that a program can check."""

import ast
import gc
import importlib
import importlib.util
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


@pytest.mark.parametrize("package", PACKAGES)
def test_root_packages_resolve_inside_the_repository(package: str) -> None:
    # another distribution may ship a top-level package of the same name (configobj has a `validate`)
    found = importlib.import_module(package).__file__
    assert found is not None and Path(found).is_relative_to(HOUSE)


def test_no_benchmark_hides_a_package() -> None:
    # its folder comes first on the path of `python benchmarks/NAME.py`
    assert not {path.stem for path in (HOUSE / "benchmarks").glob("*.py")} & set(PACKAGES)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(HOUSE).as_posix())
def test_every_file_tells_its_job(path: Path) -> None:
    assert ast.get_docstring(_parsed(path.read_text())), "no docstring that tells the file's job"


def test_no_pin_carries_a_local_version() -> None:
    # "+cpu" and the like are on one package index only: on every other machine pip would find no such version
    pins = [line for line in (HOUSE / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert pins and not [pin for pin in pins if "+" in pin]
    declared = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
    extras = [pin for extra in declared["optional-dependencies"].values() for pin in extra]
    assert not [pin for pin in (*declared["dependencies"], *extras) if "+" in pin]


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


def test_every_table_names_the_module_that_writes_it() -> None:
    from moodarchive.tables.schemas import TABLES

    for table in TABLES:
        assert importlib.util.find_spec(table.written_by), f"{table.name}: there is no {table.written_by}"


@pytest.mark.parametrize("package", ["moodarchive", "pipelines"])
def test_a_package_is_a_table_of_contents(package: str) -> None:
    entries = {path.relative_to(HOUSE / package).parts[0] for path in SOURCES if path.is_relative_to(HOUSE / package)}
    assert len(entries - {"__init__.py", "__main__.py"}) <= 12, sorted(entries)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_rooms_import_each_other_in_a_circle(package: str) -> None:
    reached: dict[str, set[str]] = {}
    for path in SOURCES:
        if path.is_relative_to(HOUSE / package):
            room = path.relative_to(HOUSE / package).parts[0].removesuffix(".py")
            reached.setdefault(room, set()).update(_rooms_imported(path, package) - {room})
    for _ in reached:
        for rooms in reached.values():
            rooms.update(*(reached.get(room, set()) for room in tuple(rooms)))
    assert not [room for room, rooms in reached.items() if room in rooms]


def _rooms_imported(path: Path, package: str) -> set[str]:
    imported = []
    for node in ast.walk(_parsed(path.read_text())):
        if isinstance(node, ast.ImportFrom) and not node.level:
            imported += [
                f"{node.module}.{alias.name}" if node.module == package else str(node.module) for alias in node.names
            ]
        elif isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
    return {name.split(".")[1] for name in imported if name.startswith(f"{package}.")}


def test_the_tables_page_is_generated_from_the_schemas() -> None:
    from moodarchive.tables.tables_page import markdown

    assert (HOUSE / "docs" / "tables.md").read_text() == markdown() + "\n"


def test_the_settings_page_is_generated_from_the_settings() -> None:
    from pipelines.commands.settings_page import markdown

    assert (HOUSE / "docs" / "settings.md").read_text() == markdown() + "\n", "remedy: make docs"
    for section in ("[[sources]]", "[[makers]]", "[[data.archives]]"):  # lists of sections show their fields
        assert f"### {section}" in markdown()


def test_every_setting_says_what_it_means() -> None:
    from pipelines.commands.settings_page import undocumented

    assert not list(undocumented())


def test_every_shipped_config_is_valid() -> None:
    from moodarchive.settings import load
    from pipelines.editing.sets.emopair.settings import CandidateSettings, PairSettings
    from pipelines.editing.sets.lavc.settings import LavcSettings
    from pipelines.model.training import kind_of
    from pipelines.settings import read_settings
    from train.diffusion.settings import DiffusionSettings
    from train.emoeditor.settings import EmoEditorSettings, PredictorSettings
    from train.epem.caption_settings import CaptionEditorSettings
    from train.epem.settings import EpemSettings
    from train.settings import TrainSettings

    configs = sorted((HOUSE / "configs").glob("*.toml"))
    assert configs
    for path in configs:
        read_settings(str(path))
    trainings = sorted((HOUSE / "configs" / "train").glob("*.toml"))
    assert trainings
    classes = {
        "": TrainSettings, "diffusion": DiffusionSettings, "emoeditor": EmoEditorSettings,
        "predictor": PredictorSettings, "epem": EpemSettings, "epem-captions": CaptionEditorSettings,
    }  # fmt: skip
    for path in trainings:
        text = path.read_text()
        load(classes[kind_of(text, str(path))], text, str(path))
    for path in sorted((HOUSE / "configs" / "pairs").glob("*.toml")):
        load(PairSettings, path.read_text(), str(path))
    for path in sorted((HOUSE / "configs" / "candidates").glob("*.toml")):
        load(CandidateSettings, path.read_text(), str(path))
    for path in sorted((HOUSE / "configs" / "lavc").glob("*.toml")):
        load(LavcSettings, path.read_text(), str(path))


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
