"""The documentation as a site: `make site`. The pages are the Markdown files as they stand in the repository."""

import re
from importlib import import_module
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

project = "MoodArchive"
author = "The MoodArchive maintainers"
version = release = installed_version("moodarchive")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinxcontrib.mermaid"]
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "benchmarks/RESULTS.md"]
exclude_patterns = [".venv*", "runs", "build"]
root_doc = "README"

html_theme = "furo"
html_title = f"MoodArchive {release}"
html_static_path: list[str] = []

myst_heading_anchors = 4
myst_enable_extensions = ["fieldlist"]
myst_fence_as_directive = ["mermaid"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
suppress_warnings = ["myst.header"]

_LINK = re.compile(r"\[([^\]]+)\]\(([^)#]+/)\)")

_SECTIONS = {
    "Start": ["docs/install", "docs/tutorial"],
    "Build": [
        "docs/crawling",
        "docs/catalogues",
        "docs/licences",
        "docs/captioning",
        "docs/cluster",
        "docs/changing",
        "docs/browsing",
    ],
    "Read and train": ["docs/reading", "docs/reference", "docs/training", "docs/evaluation"],
    "Ask people": ["docs/study"],
    "Edit": ["docs/editing", "docs/emoeditor", "docs/epem", "docs/editing-evaluation"],
    "How it is built": ["docs/architecture", "docs/tables", "docs/settings", "CONTRIBUTING", "docs/log"],
    "What was measured": ["benchmarks/RESULTS", "CHANGELOG"],
}


def _add_navigation(app: Any, name: str, source: list[str]) -> None:
    """The sidebar's contents, which the README on a code host does not need."""
    if name == root_doc:
        for caption, pages in _SECTIONS.items():
            listed = "\n".join(f"/{page}" for page in pages)
            source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n{listed}\n```\n"


def _unlink_folders(app: Any, name: str, source: list[str]) -> None:
    """A link to a folder of the repository, which a code host shows and a site does not hold, becomes its text."""
    here = (Path(app.srcdir) / name).parent
    source[0] = _LINK.sub(lambda link: link[1] if (here / link[2]).is_dir() else link[0], source[0])


def _list_members(app: Any, name: str, source: list[str]) -> None:
    """Directives for every public name of the two packages in place of the page's marks."""
    if name == "docs/reference":
        source[0] = re.sub(r"<!-- members of (\w+) -->", lambda mark: _directives(mark[1]), source[0])


def _directives(package: str) -> str:
    module = import_module(package)
    lines = [f".. automodule:: {package}", ""]
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, type):
            lines += [f".. autoclass:: {package}.{name}", "   :members:", "   :exclude-members: model_config", ""]
        elif callable(value) and not hasattr(value, "__origin__"):
            lines += [f".. autofunction:: {package}.{name}", ""]
    return "```{eval-rst}\n" + "\n".join(lines) + "\n```"


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _add_navigation)
    app.connect("source-read", _unlink_folders)
    app.connect("source-read", _list_members)
