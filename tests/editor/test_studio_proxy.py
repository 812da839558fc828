"""The studio behind a proxy: under a path, with a public name; whatever else names a host is refused."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from editor.edit import EditSettings
from editor.job import Editor
from editor.planning.plan import Planner
from editor.studio.runs import Runs
from editor.studio.serve import Address, make_app
from editor.studio.work import Work
from moodarchive.errors import EditError


def _client(folder: Path, host: str, **address: object) -> TestClient:
    work = Work(folder=folder.resolve())
    work.make()
    editor = Editor(method="moodifier", base="/absent", model=None, settings=EditSettings(), planner=Planner())
    return TestClient(make_app(Runs(editor=editor), work, Address(**address)), base_url=host)  # type: ignore[arg-type]


@pytest.mark.parametrize("strips", [True, False])
def test_under_a_path_the_page_names_its_files_below_it(tmp_path: Path, strips: bool) -> None:
    client = _client(
        tmp_path, "https://studio.example.org", root_path="/mood/studio", public_hosts=("studio.example.org",)
    )
    prefix = "" if strips else "/mood/studio"
    page = client.get(f"{prefix}/")
    assert page.status_code == 200
    config = client.get(f"{prefix}/config").json()
    assert config["root"] == "https://studio.example.org/mood/studio"
    assert client.get(f"{prefix}/gradio_api/info").status_code == 200
    assert "content-security-policy" in page.headers


def test_other_names_than_the_public_ones_are_refused(tmp_path: Path) -> None:
    client = _client(tmp_path, "http://127.0.0.1", public_hosts=("studio.example.org", "b.example.org"))
    for host, status in (
        ("studio.example.org", 200), ("studio.example.org:8443", 200), ("b.example.org", 200), ("127.0.0.1", 200),
        ("evil.example", 400), ("studio.example.org.evil.example", 400), ("example.org", 400),
    ):  # fmt: skip
        assert client.get("/", headers={"Host": host}).status_code == status, host


@pytest.mark.parametrize("path", ["studio", "/studio/", "/", "//a", "/a b", "/a?b", "http://a/b"])
def test_a_root_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(EditError, match=r"--root-path .* such as /studio"):
        Address(root_path=path)


@pytest.mark.parametrize("name", ["*", "*.example.org", "http://a", "a:80", "a/b", ""])
def test_a_public_host_is_a_name_and_no_pattern(name: str) -> None:
    with pytest.raises(EditError, match="--public-host"):
        Address(public_hosts=(name,))
