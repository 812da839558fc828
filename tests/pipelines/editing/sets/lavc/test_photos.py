"""L-AVC of photos: a served model writes, a method edits, a filter and people judge; licences and takedowns travel."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from typer.testing import CliRunner

from moodarchive.chat.answers import ChatAnswer
from moodarchive.emotions.taxonomy import MIKELS_EIGHT
from moodarchive.errors import DatasetError, NotWholeError, RowError, ServiceError
from moodarchive.language_edit.records import read_records
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import ITEMS, LAVC_RECORDS, LAVC_REQUESTS, LAVC_TEXTS, SELECTION
from pipelines.commands.app import app
from pipelines.demo.captioner.server import MODEL, CaptionServer
from pipelines.editing.sets.lavc.build import build_lavc
from pipelines.editing.sets.lavc.settings import LavcSettings
from pipelines.editing.sets.lavc.shards import export_shards
from pipelines.editing.sets.lavc.verify import verify_lavc
from pipelines.editing.sets.lavc.writing import answer_schema, read_words
from tests.making import rows_of, sealed_archive, serving, textured, write_rows
from validate.study.design.study import CHECKS, read_design
from validate.study.records.items import draw_records, read_record_items
from validate.study.records.verdict import export_checks

COUNT = 10


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving({"/v1/chat/completions": CaptionServer()._chat}) as site:
        yield f"http://{site.address}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed archive, reference pictures by emotion, and EmoSet in small."""
    top = tmp_path_factory.mktemp("photos")
    sealed_archive(Store(str(top / "archive")))
    for number, name in enumerate(MIKELS_EIGHT):
        (top / "references" / name).mkdir(parents=True)
        textured(32, 32, seed=500 + number).save(top / "references" / name / "1.png")
    emoset = top / "emoset"
    emoset.mkdir()
    labels = {name: number for number, name in enumerate(MIKELS_EIGHT)}
    (emoset / "info.json").write_text(json.dumps({"emotion": {"label2idx": labels}}))
    entries = []
    for number in range(6):
        name = ("anger", "awe")[number % 2]
        picture, annotation = f"image/{name}/{name}_{number}.jpg", f"annotation/{name}/{name}_{number}.json"
        for path in (picture, annotation):
            (emoset / path).parent.mkdir(parents=True, exist_ok=True)
        textured(40, 32, seed=number).save(emoset / picture)
        attribute = ("human_action", "brightness", "scene")[number % 3]
        (emoset / annotation).write_text(json.dumps({"emotion": name, attribute: "x"}))
        entries.append([name, picture, annotation])
    for split, some in (("train", entries), ("val", []), ("test", [])):
        (emoset / f"{split}.json").write_text(json.dumps(some))
    return top


def _settings(top: Path, server: str, /, **given: Any) -> LavcSettings:
    values = {
        "kind": "archive",
        "archive": str(top / "archive"),
        "count": COUNT,
        "records_per_part": 4,
        "writer": {"servers": [server], "model": MODEL, "max_attempts": 2, "retries": 0, "patience_s": 0},
        "maker": {"method": "colour-transfer", "base": str(top / "references")},
    }
    return LavcSettings.model_validate(values | given)


@pytest.fixture(scope="module")
def built(folder: Path, server: str) -> Path:
    build_lavc(_settings(folder, server), str(folder / "set"), on_ray=False)
    return folder / "set"


def test_an_archives_pictures_become_records_with_their_licences(built: Path, folder: Path) -> None:
    records = read_records(built / "records.jsonl")
    assert len(records) == COUNT and all(one["status"] == "kept" and one["checked_by"] is None for one in records)
    items = {row["title"]: row for part in (0, 1) for row in rows_of(Store(str(folder / "archive")), ITEMS, part)}
    for one in records:
        item = items[one["title"]]
        for name in ("source", "creator", "creator_url", "licence", "licence_url", "landing_url"):
            assert one[name] == item[name]
        assert one["emotion"] == "amusement" != one["edited_emotion"]  # of joy's place among the eight
        assert one["edited_span"] in one["caption"] and one["edited_emotion"] in one["instruction"]
        assert (built / one["image"]).read_bytes() != (built / one["edited_image"]).read_bytes()
    assert list(verify_lavc(str(built))) == []
    assert str(folder) not in (built / "manifest.json").read_text()  # a path may name a person


def test_a_second_build_has_equal_bytes_and_shards_are_public(
    built: Path, folder: Path, server: str, tmp_path: Path
) -> None:
    again = build_lavc(_settings(folder, server), str(tmp_path / "again"), on_ray=False)
    assert again == json.loads((built / "manifest.json").read_text())
    assert again["licences"] == {"by 2.0": COUNT}
    assert export_shards(str(built), str(tmp_path / "shards")) == COUNT
    assert not (tmp_path / "shards" / "shards" / "private").exists()


def test_emosets_annotations_name_the_element_and_unknown_licences_are_private(
    folder: Path, server: str, tmp_path: Path
) -> None:
    given = {"kind": "emoset", "folder": str(folder / "emoset"), "targets": "drawn"}
    manifest = build_lavc(_settings(folder, server, **given), str(tmp_path / "set"), on_ray=False)
    assert manifest["elements"] == {"action": 2, "color&brightness": 2, "scene": 2}
    records = read_records(tmp_path / "set" / "records.jsonl")
    assert {one["emotion"] for one in records} == {"anger", "awe"}
    assert export_shards(str(tmp_path / "set"), str(tmp_path / "shards")) == 6
    assert [path.name for path in (tmp_path / "shards" / "shards").iterdir() if path.is_dir()] == ["private"]
    (folder / "emoset" / "image" / "awe" / "awe_1.jpg").rename(tmp_path / "awe_1.jpg")
    lost = build_lavc(_settings(folder, server, **given), str(tmp_path / "lost"), on_ray=False)
    (tmp_path / "awe_1.jpg").rename(folder / "emoset" / "image" / "awe" / "awe_1.jpg")
    assert lost["reasons"] == {"missing_picture": 1} and list(verify_lavc(str(tmp_path / "lost"))) == []


def test_what_the_archive_took_down_leaves_the_set_and_the_rest_stays(
    folder: Path, server: str, tmp_path: Path
) -> None:
    sealed_archive(Store(str(tmp_path / "archive")))
    settings = _settings(folder, server, archive=str(tmp_path / "archive"))
    root = tmp_path / "set"
    build_lavc(settings, str(root), on_ray=False)
    before = {one["id"]: one for one in read_records(root / "records.jsonl")}
    gone = rows_of(Store(str(root)), LAVC_RECORDS, 1)[0]
    archive = Store(str(tmp_path / "archive"))
    for part in (0, 1):
        rows = rows_of(archive, SELECTION, part)
        write_rows(
            archive, SELECTION, part, [row | {"kept": row["kept"] and row["key"] != gone["key"]} for row in rows]
        )
    stamp = (root / "records" / "00000.json").stat().st_mtime_ns
    manifest = build_lavc(settings, str(root), on_ray=False)
    assert manifest["reasons"] == {"taken_down": 1} and manifest["kept"] == COUNT - 1
    after = {one["id"]: one for one in read_records(root / "records.jsonl")}
    assert {key for key in before if after.get(key) != before[key]} == {gone["id"]}
    assert not (root / gone["image"]).exists() and not (root / gone["edited_image"]).exists()
    for table in (LAVC_REQUESTS, LAVC_TEXTS, LAVC_RECORDS):
        (row,) = (one for one in rows_of(Store(str(root)), table, 1) if one["key"] == gone["key"])
        said = {name for name, value in row.items() if value is not None}
        assert not said & {"title", "creator", "creator_url", "landing_url", "caption", "edited_caption", "model"}
    assert (root / "records" / "00000.json").stat().st_mtime_ns == stamp  # other parts are left alone
    assert list(verify_lavc(str(root))) == []


def test_edits_that_miss_the_filter_are_tried_again_and_rejected_by_its_name(
    folder: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def cosines(self: object, sides: object, text: str) -> tuple[float, float]:
        seen.append(text)
        return (0.8, 0.3 if seen.count(text) == 2 and text != seen[0] else 0.1)

    monkeypatch.setattr("pipelines.editing.sets.edits.EditJudge.cosines", cosines)
    settings = _settings(folder, server, count=3, tries=2, filter={"clip": "local-dir:x"})
    manifest = build_lavc(settings, str(tmp_path / "set"), on_ray=False)
    rows = rows_of(Store(str(tmp_path / "set")), LAVC_RECORDS, 0)
    assert [row["tries"] for row in rows] == [2, 2, 2]
    assert [row["reason"] for row in rows] == ["clip_text", None, None] and manifest["reasons"] == {"clip_text": 1}
    assert rows[0]["edited_image"] is None and not (tmp_path / "set" / rows[0]["image"]).exists()


def test_a_bad_answer_is_asked_anew_and_a_silent_server_records_nothing(
    folder: Path, tmp_path: Path, server: str
) -> None:
    asked = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        reply = await CaptionServer()._chat(request)
        body = json.loads(bytes(reply.body))  # type: ignore[arg-type]
        if asked <= 2:
            body["choices"][0]["message"]["content"] = "no JSON"
        return web.json_response(body)

    with serving({"/v1/chat/completions": answer}) as site:
        settings = _settings(folder, f"http://{site.address}", count=1)
        assert build_lavc(settings, str(tmp_path / "one"), on_ray=False)["reasons"] == {"not_json": 1}
        text = rows_of(Store(str(tmp_path / "one")), LAVC_TEXTS, 0)[0]
        assert (text["attempts"], text["status"], text["error"]) == (2, "failed", "not_json")
    root = tmp_path / "silent"
    with pytest.raises(ServiceError, match="does not answer"):
        build_lavc(_settings(folder, "http://127.0.0.1:9", count=1), str(root), on_ray=False)
    assert not list((root / "texts").glob("*.json")) and not (root / "manifest.json").exists()
    assert build_lavc(_settings(folder, server, count=1), str(root), on_ray=False)["kept"] == 1


WORDS = {
    "caption": "A woman with an angry face",
    "edited_span": "an angry face",
    "element": "facial",
    "edited_emotion": "contentment",
    "instruction": "Please change the emotion of this image from anger to contentment.",
    "edited_caption": "A woman with a smiling face",
}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, ""),
        ({"edited_span": "a happy dog"}, "span_not_in_caption"),
        ({"element": "mouth"}, "unknown_word"),
        ({"edited_emotion": "anger"}, "same_emotion"),
        ({"edited_caption": "A woman with an angry face"}, "same_caption"),
        ({"instruction": "Please make it evoke fear."}, "other_emotion"),
        ({"instruction": "Please add a red car."}, "other_emotion"),
        ({"caption": "no"}, "bad_text"),
        ({"caption": 3}, "wrong_schema"),
        ({"more": 1}, "wrong_schema"),
    ],
)
def test_every_rule_of_an_answer_has_its_name(change: dict[str, Any], kind: str) -> None:
    answer = ChatAnswer(
        text=json.dumps(WORDS | change), finish_reason="stop", model="m", prompt_tokens=1, completion_tokens=1
    )
    elements, targets = ["facial", "object"], list(MIKELS_EIGHT)
    if not kind:
        assert read_words(answer, elements=elements, emotion="anger", targets=targets).emotion == "anger"
        assert set(answer_schema(elements, [], targets)["properties"]) == set(WORDS)
        return
    with pytest.raises(RowError) as error:
        read_words(answer, elements=elements, emotion="anger", targets=targets)
    assert error.value.kind == kind


def test_only_what_people_accepted_is_exported_or_stays_kept(
    built: Path, folder: Path, server: str, tmp_path: Path
) -> None:
    run = CliRunner().invoke
    assert run(app, ["lavc", "checks", str(built), str(tmp_path / "asked")]).exit_code == 0
    study = Store(str(tmp_path / "study"))
    design = draw_records(study, CHECKS, str(tmp_path / "asked"), workers=2, seed=0)
    items = read_record_items(study, CHECKS)
    answers = []
    for number, item in enumerate(items[:-1]):  # the last one stays open
        yes = {"span": True, "emotion": number != 1, "caption": True, "picture": number != 1}
        answers += [{"item": item.item, "worker": f"w{who}", "answer": yes} for who in range(2)]
    study.write_bytes("study/checks/answers.jsonl", "".join(json.dumps(one) + "\n" for one in answers).encode())
    export_checks(study, read_design(study, CHECKS), {item.item: item for item in items})
    assert design.n == COUNT
    checked = str(tmp_path / "study" / "study" / "checks" / "checked.jsonl")
    done = run(app, ["lavc", "export", str(built), str(tmp_path / "shards"), "--checked", checked])
    assert done.exit_code == 0 and f"{COUNT - 2} samples" in done.output
    settings = _settings(folder, server, checked=checked)
    root = tmp_path / "set"
    build_lavc(_settings(folder, server), str(root), on_ray=False)
    manifest = build_lavc(settings, str(root), on_ray=False)
    assert manifest["reasons"] == {"people: emotion, picture": 1, "unchecked": 1}
    records = {one["id"]: one for one in read_records(root / "records.jsonl")}
    assert records[items[0].key]["checked_by"] == "2 people" and records[items[-1].key]["checked_by"] is None
    assert records[items[1].key]["status"] == "rejected" and list(verify_lavc(str(root))) == []
    lines = Path(checked).read_text().replace(items[0].key, "facial-99999")
    (tmp_path / "foreign.jsonl").write_text(lines)
    with pytest.raises(DatasetError, match="'facial-99999', which is no record here"):
        export_shards(str(built), str(tmp_path / "none"), str(tmp_path / "foreign.jsonl"))
    (tmp_path / "broken.jsonl").write_text('{"key": "a"}\n')
    with pytest.raises(DatasetError, match="line 1: is no verdict"):
        export_shards(str(built), str(tmp_path / "none"), str(tmp_path / "broken.jsonl"))


def test_an_unsealed_archive_and_missing_settings_are_refused(folder: Path, server: str, tmp_path: Path) -> None:
    sealed_archive(Store(str(tmp_path / "archive")))
    (tmp_path / "archive" / "manifest.json").unlink()
    with pytest.raises(NotWholeError, match="is not sealed"):
        build_lavc(_settings(folder, server, archive=str(tmp_path / "archive")), str(tmp_path / "set"), on_ray=False)
    with pytest.raises(ValueError, match="needs archive"):
        LavcSettings.model_validate({"kind": "archive"})
