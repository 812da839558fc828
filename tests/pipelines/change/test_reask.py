"""Rejected captions are asked for again by a real server, and the archive is sealed with the new ones."""

import json
import tarfile

import pytest

from annotate.caption import CaptionSettings
from filter.cut import CutSettings
from moodarchive.errors import ConfigError, ServiceError
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import CAPTIONS, HUMAN_VERDICTS, ITEMS, SELECTION
from pipelines.change.reask import reask
from pipelines.change.reseal import finish
from pipelines.demo.captioner.server import MODEL
from pipelines.demo.serving import run_server
from pipelines.runner.settings_record import check_settings
from pipelines.settings import ArchiveSettings
from tests.annotate import described_part
from tests.making import rows_of, sealed_archive, write_rows
from validate.study.design.items import caption_hash
from validate.verify import verify


def _texts(store: Store) -> dict[str, str]:
    texts = {}
    for path in store.files("shards"):
        if path.endswith(".tar"):
            with store.open_read(path) as file, tarfile.open(fileobj=file) as tar:
                for name in tar.getnames():
                    if name.endswith(".txt"):
                        texts[name[:-4]] = tar.extractfile(name).read().decode()  # type: ignore[union-attr]
    return texts


def test_a_rejected_caption_is_replaced_and_every_other_stays(store: Store) -> None:
    sealed_archive(store)
    store.remove("settings.json")
    with run_server("pipelines.demo.captioner.server", []) as server:
        settings = ArchiveSettings(
            caption=CaptionSettings(model=MODEL, servers=(server,)), cut=CutSettings(percentile=0, heldout=0.2)
        )
        check_settings(store, settings)
        assert finish(store)
        before, texts = rows_of(store, CAPTIONS, 0), _texts(store)
        shown = {row["key"] for row in rows_of(store, SELECTION, 0) if row["kept"]}
        key = next(row["key"] for row in before if row["key"] in shown)
        shown_caption = next(row for row in before if row["key"] == key)
        sentences = (shown_caption["summary"], *shown_caption["stimuli"], shown_caption["assessment"])
        verdict = {"key": key, "accepted": False, "simulated": False, "caption_hash": caption_hash(sentences)}
        write_rows(store, HUMAN_VERDICTS, 0, [verdict])
        assert list(reask(store, settings)) == ["1 rejected captions were asked for again, 1 were replaced"]
        after = rows_of(store, CAPTIONS, 0)
        assert [row for row in after if row["key"] != key] == [row for row in before if row["key"] != key]
        new = next(row for row in after if row["key"] == key)
        assert new["model"] == MODEL and new["summary"] != shown_caption["summary"]
        now = _texts(store)
        assert {name for name in texts if texts[name] != now[name]} == {key} and now.keys() == texts.keys()
        assert now[key].startswith(new["summary"])
        # the verdict was about the old caption
        assert list(reask(store, settings)) == ["0 rejected captions were asked for again, 0 were replaced"]
    assert json.loads(store.read_bytes("manifest.json"))["counts"]["items"]["rows"] == sum(
        len(rows_of(store, ITEMS, part)) for part in (0, 1)
    )
    assert list(verify(store)) == []


def test_a_server_that_refuses_everything_is_named_and_no_caption_is_lost(store: Store) -> None:
    sealed_archive(store)
    store.remove("settings.json")
    with described_part.serving() as server:
        server.reply = lambda request: (400, {"error": {"message": "the server's words"}})
        settings = ArchiveSettings(caption=CaptionSettings(model=MODEL, servers=(server.url,)))
        check_settings(store, settings)
        assert finish(store)
        before = rows_of(store, CAPTIONS, 0)
        shown_caption = next(row for row in before if row["status"] == "ok")
        sentences = (shown_caption["summary"], *shown_caption["stimuli"], shown_caption["assessment"])
        verdict = {"key": shown_caption["key"], "accepted": False, "caption_hash": caption_hash(sentences)}
        write_rows(store, HUMAN_VERDICTS, 0, [{**verdict, "simulated": False}])
        with pytest.raises(ServiceError, match=r"turns every picture down.*the server's words.*remedy"):
            list(reask(store, settings))
    assert rows_of(store, CAPTIONS, 0) == before


def test_other_settings_than_the_archives_are_refused(store: Store) -> None:
    sealed_archive(store)
    store.remove("settings.json")
    check_settings(store, ArchiveSettings())
    with pytest.raises(ConfigError, match=r"caption\.model"):
        list(reask(store, ArchiveSettings(caption=CaptionSettings(model="another"))))
