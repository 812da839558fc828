"""The report's own templates and styles, read from the package."""

from importlib.resources import files

from jinja2 import FunctionLoader


def package_text(name: str) -> str:
    """A file of the package."""
    return (files("pipelines.inspect.report") / "templates" / name).read_text("utf-8")


def package_loader() -> FunctionLoader:
    """Jinja's way to the templates."""
    return FunctionLoader(package_text)
