"""Prompts are compared on safe pictures alone, side by side, and the archive is left as it was."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from moodarchive.errors import ConfigError, ServiceError
from moodarchive.storage.store import Store
from moodarchive.tables.keys import image_key
from moodarchive.tables.schemas import IMAGES, ITEMS, SAFETY, SCHEMA_VERSION
from pipelines.inspect.caption_sample import PAGE_PATH, SampleOptions, write_caption_sample
from tests.annotate.described_part import GOOD, ReceivedRequest, VisionServer, jpeg, serving
from tests.making import write_rows

PROMPT = 'name = "<b>bold</b>"\nversion = 2\nsystem = "Look well."\nuser = "{emotion} in Search phrase: {phrase}"\n'
FATES = {"fine": "safe", "other": "safe", "naked": "unsafe", "grown": "safe", "lost": None, "own": "safe"}


@pytest.fixture
def server() -> Iterator[VisionServer]:
    with serving() as found:
        yield found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Six pictures: two to show, an unsafe one, one that its site marks, one never judged, one of a private source."""
    store = Store(str(tmp_path / "root"))
    caption = {"model": "test-model", "max_attempts": 1, "max_tokens": 300}
    whole = {"shards": {"private_sources": ["mine"]}}
    record = {"schema_version": SCHEMA_VERSION, "per_row": {"caption": caption}, "whole_table": whole}
    store.write_bytes("settings.json", json.dumps(record).encode())
    rows = sorted((image_key("test", name), name) for name in FATES)
    queries = {name: [{"emotion": "joy", "context": "natural_scenery", "phrase": name, "rank": 0}] for name in FATES}
    items = [
        {"key": key, "title": f"<i>{name}</i>", "queries": queries[name], "mature": name == "grown",
         "licence": "by 2.0", "source": "mine" if name == "own" else "test"}
        for key, name in rows
    ]  # fmt: skip
    write_rows(store, ITEMS, 0, items)
    write_rows(store, IMAGES, 0, [{"key": key, "bytes": jpeg(), "status": "ok"} for key, _ in rows])
    write_rows(store, SAFETY, 0, [{"key": key, "verdict": FATES[name], "status": "ok"} for key, name in rows])
    return store


def everything(store: Store) -> dict[str, int]:
    return {name: size for name, size in store.files().items() if name != PAGE_PATH}


def test_safe_pictures_stand_beside_each_prompt_s_answer(store: Store, server: VisionServer, tmp_path: Path) -> None:
    def reply(request: ReceivedRequest) -> str:
        second = request.body["messages"][0]["content"] == "Look well."
        if second and request.phrase == "other":
            return "not json"
        return json.dumps({**GOOD, "summary": "A <script> tag stands on a hill."} if second else GOOD)

    server.reply = reply
    (tmp_path / "b.toml").write_text(PROMPT)
    before = everything(store)
    prompts = ("five_sentences", str(tmp_path / "b.toml"))
    path = write_caption_sample(store, SampleOptions(prompts=prompts, servers=(server.url,)))
    assert everything(store) == before
    page = store.read_bytes(path).decode()
    shown = re.findall(r'data-key="(\w+)"', page)
    assert sorted(shown) == sorted(image_key("test", name) for name in ("fine", "other"))
    assert {request.phrase for request in server.requests} == {"fine", "other"} and len(server.requests) == 4
    assert "&lt;b&gt;bold&lt;/b&gt;" in page and "&lt;i&gt;fine&lt;/i&gt;" in page and "&lt;script&gt;" in page
    assert "<b>bold" not in page and "<script" not in page and "<i>" not in page
    assert "2 of 2" in page and "1 of 2" in page and "1 answer was not JSON" in page
    assert "not the searched emotion" in page and "100 tokens in, 10 out" in page
    assert "For 1 of 1 pictures" in page


def test_a_seed_gives_the_same_pictures_again_and_another_seed_others(store: Store, server: VisionServer) -> None:
    def shown(seed: int) -> list[str]:
        options = SampleOptions(prompts=("five_sentences",), servers=(server.url,), images=1, seed=seed)
        return re.findall(r'data-key="(\w+)"', store.read_bytes(write_caption_sample(store, options)).decode())

    found = [shown(seed) for seed in range(4)]
    assert all(len(keys) == 1 for keys in found) and len({keys[0] for keys in found}) == 2
    assert shown(0) == found[0]


def test_what_cannot_be_done_is_said(store: Store, server: VisionServer) -> None:
    with pytest.raises(ConfigError, match="5 prompts are named; one to 4"):
        write_caption_sample(store, SampleOptions(prompts=("five_sentences",) * 5, servers=(server.url,)))
    with pytest.raises(ConfigError, match="no such file, and no bundled prompt"):
        write_caption_sample(store, SampleOptions(prompts=("none",), servers=(server.url,)))
    with pytest.raises(ServiceError, match=r"127\.0\.0\.1:9/"):
        write_caption_sample(store, SampleOptions(prompts=("five_sentences",), servers=("http://127.0.0.1:9",)))
    assert not store.exists(PAGE_PATH)
