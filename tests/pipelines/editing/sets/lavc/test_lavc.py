"""An L-AVC set of drawings: equal bytes whatever happened on the way, exact words, and every damage named."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from moodarchive.errors import ConfigError, NotWholeError
from moodarchive.language_edit.records import read_records, write_records
from pipelines.commands.app import app
from pipelines.editing.sets.lavc.build import build_lavc
from pipelines.editing.sets.lavc.settings import LavcSettings
from pipelines.editing.sets.lavc.shards import export_shards
from pipelines.editing.sets.lavc.verify import verify_lavc
from tests.pipelines.editing.sets.sealed import content
from train.epem.caption_pairs import RecordedPairs

SETTINGS = LavcSettings(count=60, size=16, records_per_part=7)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lavc") / "set"
    build_lavc(SETTINGS, str(root), on_ray=False)
    return root


def test_records_are_exact_and_come_back_byte_for_byte(built: Path, tmp_path: Path) -> None:
    records = read_records(built / "records.jsonl")
    assert len(records) == 60 and {one["element"] for one in records} == {"facial", "scene", "object"}
    for one in records:
        who = one["caption"].removesuffix(one["edited_span"])
        assert who != one["caption"] and one["edited_caption"].startswith(who)
        assert one["edited_caption"] != one["caption"] and one["licence"] == "cc0 1.0"
        assert one["emotion"] in one["instruction"] and one["edited_emotion"] in one["instruction"]
    write_records(tmp_path / "records.jsonl", records)
    assert (tmp_path / "records.jsonl").read_bytes() == (built / "records.jsonl").read_bytes()
    assert not list(verify_lavc(str(built)))
    learnt, kept = (RecordedPairs(built / "records.jsonl", split) for split in ("train", "test"))
    assert len(learnt) + len(kept) == 60 and 0.1 < len(kept) / 60 < 0.35
    assert learnt.image(0).size == (16, 16)


def test_a_killed_build_goes_on_to_the_same_bytes(built: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pipelines.editing.sets.lavc.build import build_lavc; "
        "from pipelines.editing.sets.lavc.settings import LavcSettings; "
        f"build_lavc(LavcSettings.model_validate({SETTINGS.model_dump()!r}), sys.argv[1], on_ray=False)"
    )
    root = tmp_path / "set"
    with subprocess.Popen([sys.executable, "-c", code, str(root)], cwd=Path(__file__).parents[5]) as process:
        deadline = time.monotonic() + 120
        while not (root / "records" / "00002.json").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
    assert not (root / "manifest.json").exists()
    with pytest.raises(NotWholeError):
        list(verify_lavc(str(root)))
    cut = next((root / "original").glob("*.png"))
    cut.write_bytes(cut.read_bytes()[:20])  # and a disk that lost the end of a picture
    for lock in (root / "crawl").rglob("*"):  # the killed writer's heartbeat is fresh; nobody waits for it here
        lock.unlink()
    build_lavc(SETTINGS, str(root), on_ray=False)
    assert content(root) == content(built)


def test_shards_hold_the_records_and_two_exports_have_equal_bytes(built: Path, tmp_path: Path) -> None:
    assert export_shards(str(built), str(tmp_path / "one")) == export_shards(str(built), str(tmp_path / "two")) == 60
    manifests = [json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("one", "two")]
    assert manifests[0] == manifests[1]
    for path, sha256 in manifests[0]["files"].items():
        for name in ("one", "two"):
            assert hashlib.sha256((tmp_path / name / path).read_bytes()).hexdigest() == sha256
    records = {one["id"]: one for one in read_records(built / "records.jsonl")}
    for split in ("train", "test"):
        with tarfile.open(tmp_path / "one" / "shards" / split / "00000.tar") as tar:
            members = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        for name in [name for name in members if name.endswith(".json")]:
            key = name.removesuffix(".json")
            record = records.pop(key)
            assert json.loads(members[name]) == record and record["split"] == split
            assert members[f"{key}.source.png"] == (built / record["image"]).read_bytes()
            assert members[f"{key}.target.png"] == (built / record["edited_image"]).read_bytes()
            assert members[f"{key}.txt"].decode() == record["instruction"]
    assert not records
    with pytest.raises(ConfigError, match="holds something already"):
        export_shards(str(built), str(tmp_path / "one"))


def test_damages_are_named(built: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    build_lavc(LavcSettings(count=6, size=16), str(root), on_ray=False)
    picture = sorted((root / "edited").iterdir())[0]
    before = picture.read_bytes()
    picture.write_bytes(before[:-1] + b"x")
    (root / "more.txt").write_text("?")
    said = [str(problem) for problem in verify_lavc(str(root))]
    assert any(picture.name in line and "is not what was sealed" in line for line in said) and len(said) == 2
    picture.unlink()
    assert any("is missing" in str(problem) for problem in verify_lavc(str(root)))
    picture.write_bytes(before)
    (root / "more.txt").unlink()
    manifest = json.loads((root / "manifest.json").read_text())
    lines = (root / "records.jsonl").read_text().splitlines()
    lines[1] = lines[0]
    lines[2] = lines[2].replace('"status": "kept"', '"status": "perhaps"')
    (root / "records.jsonl").write_text("\n".join(lines) + "\n")
    manifest["files"]["records.jsonl"] = hashlib.sha256((root / "records.jsonl").read_bytes()).hexdigest()
    (root / "manifest.json").write_text(json.dumps(manifest))
    said = [str(problem) for problem in verify_lavc(str(root))]
    assert any("line 2" in line and "stands twice" in line for line in said)
    assert any("line 3" in line and "status = 'perhaps'" in line for line in said)
    assert any("says records 6; there are 4" in line for line in said)


def test_other_settings_and_foreign_folders_are_refused_and_the_commands_build_and_verify(
    built: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="seed was 0, is 1"):
        build_lavc(SETTINGS.model_copy(update={"seed": 1}), str(built), on_ray=False)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds something else"):
        build_lavc(SETTINGS, str(tmp_path / "other"), on_ray=False)
    (tmp_path / "set.toml").write_text("count = 3\nsize = 16\n")
    build_lavc(LavcSettings(count=3, size=16), str(tmp_path / "set"), on_ray=False)  # nothing is left for Ray to do
    for command in (["build", str(tmp_path / "set.toml"), str(tmp_path / "set")], ["verify", str(tmp_path / "set")]):
        result = CliRunner().invoke(app, ["lavc", *command])
        assert result.exit_code == 0, result.output
    (tmp_path / "other" / "manifest.json").write_text('{"name": "EmoPair", "files": {}}')
    other = CliRunner().invoke(app, ["lavc", "verify", str(tmp_path / "other")])
    assert isinstance(other.exception, NotWholeError) and "another set than L-AVC" in str(other.exception)
    (tmp_path / "set" / "records.jsonl").write_text("")
    assert CliRunner().invoke(app, ["lavc", "verify", str(tmp_path / "set")]).exit_code == 1
