"""Two rounds by the real pipeline: pictures of the first that the second finds under a better emotion move to it.

Every picture is drawn; the site answers a question about fear with all that it had answered about joy, and more.
"""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from rich.console import Console

from moodarchive.emotions.lexicon import load_lexicon
from moodarchive.emotions.taxonomy import EMOTIONS, Cell
from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import REDISCOVERED, SCORES, SELECTION
from pipelines.archive import ArchiveRun
from pipelines.change.verbs import prune
from pipelines.demo.scenes.scene import draw_scene
from pipelines.demo.serving import run_server
from pipelines.demo.stock_site.faults import jpeg
from pipelines.inspect.diff import show_diff
from pipelines.runner.progress import Progress
from pipelines.settings import ArchiveSettings
from tests.making import Row, Site, giving, rows_of, serving
from tests.pipelines.change.test_found_again import samples_of
from tests.pipelines.running import archive_digest
from validate.verify import verify

pytestmark = [pytest.mark.slow, pytest.mark.torture]
CONTEXT = "natural_scenery"
OF_FEAR = load_lexicon()[Cell("fear", CONTEXT)][0]
DRAWN = [(emotion, seed) for emotion in ("joy", "fear") for seed in range(10)]
LATER = [("fear", seed) for seed in range(10, 18)]


def _record(emotion: str, seed: int) -> dict[str, Any]:
    name = f"{emotion}{seed}"
    return {
        "id": name, "url": f"http://cdn.test/{name}.jpg", "title": name, "foreign_landing_url": f"http://site.test/{name}",
        "creator": "Olga", "license": "by", "license_version": "4.0",
        "license_url": "https://creativecommons.org/licenses/by/4.0/",
    }  # fmt: skip


@contextmanager
def _site() -> Iterator[Site]:
    async def search(request: web.Request) -> web.Response:
        found = [*DRAWN, *LATER] if request.query["q"] == OF_FEAR else DRAWN
        answer = {"page_count": 1, "results": [_record(*one) for one in found]}
        return web.json_response(answer, headers={"Date": "Thu, 01 Jan 2026 00:00:00 GMT"})

    scenes = {
        f"/{emotion}{seed}.jpg": giving(jpeg(draw_scene(emotion, CONTEXT, seed, (240, 180)).image))
        for emotion, seed in (*DRAWN, *LATER)
    }
    with serving({"/v1/images/": search, **scenes}) as site:
        yield site


def _run(root: Path, site: Site, captions: str, emotions: list[str], workers: int = 1, **cut: Any) -> None:
    values = {
        "descriptors": {"emotions": emotions, "contexts": [CONTEXT], "phrases_per_cell": 1},
        "sources": {"openverse": {"enabled": True, "permission": "the test's own", "results_per_query": 40,
                                  "limits": ["50/s"], "base_url": "http://site.test/v1"}},
        "search": {"user_agent": "MoodArchive-test/0.1 (a@b.example)",
                   "loopback_hosts": {"site.test": site.address, "cdn.test": site.address}},
        "merge": {"rows_per_part": 2},
        "download": {"host_limit": "100/s"},
        "caption": {"model": "moodarchive-demo-measurements-v1", "servers": [captions], "workers": workers},
        "score": {"model": f"local-dir:{files('pipelines.demo') / 'checkpoint'}", "pretrained": "", "workers": workers},
        "cut": {"percentile": 20, "smallest_cell": 1, "heldout": 0, "validation": 0, **cut},
    }  # fmt: skip
    store = Store(str(root))
    ArchiveRun(store, ArchiveSettings.model_validate(values), Progress(store, Console(file=io.StringIO()))).run()


def _rows(root: Path, table: Any) -> dict[str, Row]:
    store = Store(str(root))
    return {row["key"]: row for part in finished_parts(store, table) for row in rows_of(store, table, part)}


def _score(row: Row, emotion: str) -> float:
    return float(row["emotion_scores"][EMOTIONS.index(emotion)])


def _tars(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.glob("shards/*/*.tar"))}


def test_each_picture_ends_under_its_best_and_nothing_else_moves(tmp_path: Path) -> None:
    root, other = tmp_path / "one", tmp_path / "two"
    with _site() as site, run_server("pipelines.demo.captioner.server", []) as captions:
        _run(root, site, captions, ["joy"])
        first, tars = _rows(root, SELECTION), _tars(root)
        _run(root, site, captions, ["joy", "fear"])
        for emotions in (["joy"], ["joy", "fear"]):
            _run(other, site, captions, emotions, workers=2)
        assert archive_digest(root) == archive_digest(other)
        _unlike_only_where_fear_fits_better(root, first, tars)
        _after_a_prune_the_next_round_finds_anew(root, site, captions)
        _run(other, site, captions, ["joy", "fear"], rounds="together")
    kept, scores = _rows(other, SELECTION), _rows(other, SCORES)
    best = {
        key: max(("joy", "fear") if key in first else ("fear",), key=lambda e: (_score(scores[key], e), e))
        for key in kept
    }
    judged = {key: row for key, row in kept.items() if row["reason"] in (None, "low_score")}
    assert {key: row["emotion"] for key, row in judged.items()} == {key: best[key] for key in judged}
    for emotion in ("joy", "fear"):
        ranked = sorted((_score(scores[key], emotion), key) for key in judged if best[key] == emotion)
        low = {key for _, key in ranked[: len(ranked) * 20 // 100]}
        assert {key for _, key in ranked if kept[key]["reason"] == "low_score"} == low
    assert list(verify(Store(str(other)))) == []


def _unlike_only_where_fear_fits_better(root: Path, first: dict[str, Row], tars: dict[str, bytes]) -> None:
    store, now, scores = Store(str(root)), _rows(root, SELECTION), _rows(root, SCORES)
    assert len(rows_of(store, REDISCOVERED, 1)) == len(DRAWN) == len(first)
    better = {key for key in first if first[key]["reason"] in (None, "low_score")}
    better = {key for key in better if _score(scores[key], "fear") > _score(scores[key], "joy")}
    assert 0 < len(better) < len(first)
    assert {key for key in first if now[key] != first[key]} == better
    assert {now[key]["emotion"] for key in better} == {"fear"}
    moved = {key for key in better if now[key]["kept"]}
    came = {key for key in moved if not first[key]["kept"]}
    assert moved and moved - came
    samples = samples_of(store)
    for key in moved:
        place = EMOTIONS.index("fear")
        assert samples[key]["emotion"] == "fear" and samples[key]["context"] == CONTEXT
        assert samples[key]["score"] == scores[key]["emotion_scores"][place]
        assert samples[key]["score_phrase"] == scores[key]["emotion_phrases"][place]
    parts = {
        part
        for part in finished_parts(store, SELECTION)
        for row in rows_of(store, SELECTION, part)
        if row["key"] in better
    }
    touched = {path for path, data in tars.items() if _tars(root).get(path) != data}
    assert touched == {path for path in tars if int(Path(path).stem) in parts}
    assert touched != set(tars), "a part whose pictures all stay is not rewritten"
    said = io.StringIO()
    show_diff(store, None, None, Console(file=said, width=500))
    assert (
        f"{len(moved - came)} samples judged under a better emotion: {len(moved - came)} joy to fear" in said.getvalue()
    )
    assert list(verify(store)) == []


def _after_a_prune_the_next_round_finds_anew(root: Path, site: Site, captions: str) -> None:
    store = Store(str(root))
    prune(store, lambda _: None)
    before, samples = _rows(root, SELECTION), samples_of(store)
    _run(root, site, captions, ["joy", "fear", "sadness"])
    now, scores = _rows(root, SELECTION), _rows(root, SCORES)
    known = {key for key in before if before[key]["kept"]}
    better = {key for key in known if _score(scores[key], "sadness") > _score(scores[key], before[key]["emotion"])}
    assert {key for key in before if now[key] != before[key]} == better
    assert all(samples_of(store)[key] == samples[key] for key in known - better)
    assert list(verify(store)) == []
    assert json.loads((root / "manifest.json").read_bytes())["pruned"]
