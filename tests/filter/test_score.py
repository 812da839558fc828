"""A picture's score is the best cosine to its emotions' phrases, by the bundled small CLIP."""

import re
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from filter.score import (
    DECIMALS,
    Scorer,
    ScoreSettings,
    decoding_threads,
    forget_vectors,
    phrases_of_emotions,
    score_stage,
)
from filter.scoring_rate import ScoringTime, scoring_wall
from moodarchive.emotions.lexicon import load_lexicon
from moodarchive.emotions.taxonomy import CONTEXTS, EMOTIONS, Cell
from moodarchive.errors import ConfigError, PrunedPictureError, StageError
from moodarchive.models.clip import ClipEncoder
from moodarchive.running.part_log import log_path, part_log
from moodarchive.running.stage import run_part
from moodarchive.settings import load
from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts, sidecar_path
from moodarchive.tables.schemas import IMAGES, ITEMS, SAFETY, SCORES, VECTORS
from tests.making import Row, encoded, rows_of, textured, write_rows

CHECKPOINT = Path(__file__).parents[2] / "pipelines" / "demo" / "checkpoint"
has_model = any(CHECKPOINT.glob("open_clip_model.*")) if CHECKPOINT.is_dir() else False
needs_model = pytest.mark.skipif(not has_model, reason="the bundled checkpoint has no model file")
SETTINGS = ScoreSettings(model=f"local-dir:{CHECKPOINT}", pretrained="", batch=3)
QUERIES = [
    {"emotion": "joy", "context": "urban_scenery", "phrase": "a", "rank": 0},
    {"emotion": "fear", "context": "natural_scenery", "phrase": "b", "rank": 3},
    {"emotion": "joy", "context": "object_classes", "phrase": "c", "rank": 5},
]


def _write(store: Store, verdicts: list[str | None], queries: list[Row]) -> list[bytes]:
    jpegs = [encoded(textured(seed=i)) for i in range(len(verdicts))]
    rows = [(f"{i:016x}", jpeg, verdict) for i, (jpeg, verdict) in enumerate(zip(jpegs, verdicts, strict=True))]
    write_rows(store, ITEMS, 0, [{"key": key, "queries": queries} for key, _, _ in rows])
    write_rows(store, IMAGES, 0, [{"key": key, "bytes": jpeg, "status": "ok"} for key, jpeg, _ in rows])
    write_rows(store, SAFETY, 0, [{"key": key, "verdict": verdict, "status": "ok"} for key, _, verdict in rows])
    return jpegs


def _scored(store: Store) -> list[Row]:
    stage = score_stage(SETTINGS)
    run_part(stage, store, stage.make_worker(), 0)
    return rows_of(store, SCORES, 0)


def test_an_emotion_is_compared_with_its_templates_and_all_its_phrases() -> None:
    phrases = phrases_of_emotions(("a photo that shows {emotion}",))
    lexicon = load_lexicon()
    assert len(phrases) == 27
    expected = [phrase for context in CONTEXTS for phrase in lexicon[Cell("fear", context)]]
    assert phrases["fear"] == ("a photo that shows fear", *expected)


def test_a_template_without_its_emotion_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"templates = .*every template must hold \{emotion\}"):
        load(ScoreSettings, 'templates = ["a photo"]', "a.toml")


def test_what_a_score_depends_on_makes_it_stale_and_threads_do_not() -> None:
    plain = score_stage(SETTINGS).settings
    assert score_stage(SETTINGS.model_copy(update={"threads": 2, "decoders": 3, "workers": 2})).settings == plain
    for changed in ({"templates": ("{emotion}",)}, {"batch": 9}):
        assert score_stage(SETTINGS.model_copy(update=changed)).settings != plain


def test_a_model_that_cannot_be_loaded_is_named_at_once(tmp_path: Path) -> None:
    if find_spec("open_clip") is None:
        pytest.skip("the extra clip is not installed")
    encoder = ClipEncoder(model=f"local-dir:{tmp_path}/absent")
    with pytest.raises(ConfigError, match=r"absent.*cannot be loaded.*remedy"):
        Scorer(encoder, ("{emotion}",), 4, 1)


@needs_model
def test_the_best_phrase_of_the_best_emotion_gives_the_score(store: Store) -> None:
    jpegs = _write(store, ["safe"] * 7, QUERIES)
    encoder = ClipEncoder(model=SETTINGS.model)
    phrases = phrases_of_emotions(SETTINGS.templates)
    for row, jpeg in zip(_scored(store), jpegs, strict=True):
        (vector,) = encoder.embed_pixels([encoder.prepare_bytes(jpeg)])
        cosines = {emotion: encoder.texts(phrases[emotion]) @ vector for emotion in ("joy", "fear")}
        best = max(cosines, key=lambda emotion: float(cosines[emotion].max()))
        assert row["score"] == pytest.approx(float(cosines[best].max()), abs=2e-5)
        assert row["emotion"] == best
        assert row["phrase"] == phrases[best][int(np.argmax(cosines[best]))]
        assert row["context"] == {"joy": "urban_scenery", "fear": "natural_scenery"}[best], "of the best rank"
        assert row["score"] == np.float32(round(float(row["score"]), DECIMALS))


@needs_model
def test_unsafe_pictures_are_passed_over_and_batches_change_nothing(store: Store) -> None:
    _write(store, ["safe"] * 5, QUERIES[:1])
    alone = _scored(store)
    _write(store, ["safe", "unsafe", None, "safe", "safe"], QUERIES[:1])
    rows = _scored(store)
    assert [row["status"] for row in rows] == ["ok", "skipped", "skipped", "ok", "ok"]
    assert [rows[i] for i in (0, 3, 4)] == [alone[i] for i in (0, 3, 4)]
    assert rows[1]["score"] is None


@needs_model
def test_vectors_are_kept_where_asked_for_and_leave_the_scores_as_they_are(store: Store) -> None:
    jpegs = _write(store, ["safe", "unsafe", "safe", "doubtful", "safe"], QUERIES)
    plain, without = _scored(store), finished_parts(store, SCORES)[0]
    assert not finished_parts(store, VECTORS)
    stage = score_stage(SETTINGS.model_copy(update={"keep_vectors": True}))
    run_part(stage, store, stage.make_worker(), 0)
    assert not finished_parts(store, VECTORS), "a part that is scored already is not scored for its vectors"
    store.remove(sidecar_path(SCORES, 0))
    run_part(stage, store, stage.make_worker(), 0)
    done = finished_parts(store, SCORES)[0]
    assert rows_of(store, SCORES, 0) == plain and (done.sha256, done.settings) == (without.sha256, without.settings)
    rows, encoder = rows_of(store, VECTORS, 0), ClipEncoder(model=SETTINGS.model)
    assert [row["key"] for row in rows] == [row["key"] for row in plain] and rows[1]["vector"] is None
    for row, jpeg in zip(rows, jpegs, strict=True):
        if row["vector"] is not None:
            (vector,) = encoder.embed_pixels([encoder.prepare_bytes(jpeg)])
            assert np.abs(np.array(row["vector"], np.float32) - vector).max() < 1e-3
    forget_vectors(store, frozenset({rows[2]["key"]}))
    assert [row["vector"] is None for row in rows_of(store, VECTORS, 0)] == [False, True, True, False, False]
    # scored anew without them: what another model may have made goes
    store.remove(sidecar_path(SCORES, 0))
    _scored(store)
    assert not finished_parts(store, VECTORS) and not store.names(VECTORS.name)


@needs_model
def test_every_emotion_is_scored_and_the_searched_ones_name_the_row(store: Store) -> None:
    (jpeg,) = _write(store, ["safe"], QUERIES)
    (row,) = _scored(store)
    encoder, phrases = ClipEncoder(model=SETTINGS.model), phrases_of_emotions(SETTINGS.templates)
    (vector,) = encoder.embed_pixels([encoder.prepare_bytes(jpeg)])
    for emotion, score, phrase in zip(EMOTIONS, row["emotion_scores"], row["emotion_phrases"], strict=True):
        cosines = encoder.texts(phrases[emotion]) @ vector
        assert score == pytest.approx(float(cosines.max()), abs=2e-5)
        assert phrase == phrases[emotion][int(np.argmax(cosines))]
    place = EMOTIONS.index(row["emotion"])
    assert (row["score"], row["phrase"]) == (row["emotion_scores"][place], row["emotion_phrases"][place])
    assert row["score"] == max(row["emotion_scores"][EMOTIONS.index(name)] for name in ("joy", "fear"))


@needs_model
def test_pictures_that_were_pruned_cannot_be_scored_anew(store: Store) -> None:
    _write(store, ["safe"] * 2, QUERIES)
    write_rows(store, IMAGES, 0, [{**row, "bytes": None} for row in rows_of(store, IMAGES, 0)])
    with pytest.raises(PrunedPictureError, match=r"2 pictures are to be scored anew, but images/ was pruned.*remedy"):
        _scored(store)


@needs_model
@pytest.mark.parametrize("decoders", [1, 4])
def test_a_stored_score_is_the_same_whatever_was_scored_beside_it(store: Store, decoders: int) -> None:
    settings = SETTINGS.model_copy(update={"decoders": decoders})
    stage = score_stage(settings)
    worker = stage.make_worker()
    _write(store, ["safe"] * 140, QUERIES[:1])  # three batches of the table, 47 passes of three
    run_part(stage, store, worker, 0)
    together = rows_of(store, SCORES, 0)
    assert [row["key"] for row in together] == [f"{i:016x}" for i in range(140)]
    draw = np.random.default_rng(decoders)
    for _ in range(2):
        verdicts = ["safe" if chosen else "unsafe" for chosen in draw.random(140) < 0.2]
        _write(store, verdicts, QUERIES[:1])
        run_part(stage, store, worker, 0)
        rows = rows_of(store, SCORES, 0)
        assert [row["status"] == "ok" for row in rows] == [verdict == "safe" for verdict in verdicts]
        assert all(row == expected for row, expected in zip(rows, together, strict=True) if row["status"] == "ok")


@needs_model
def test_the_part_tells_its_rate_and_which_side_is_the_wall(store: Store) -> None:
    _write(store, ["safe"] * 7, QUERIES[:1])
    stage = score_stage(SETTINGS)
    with part_log(store, "score", 0):
        sidecar = run_part(stage, store, stage.make_worker(), 0)
    assert sidecar.measured["scored"] == 7
    assert 0 < sidecar.measured["model_s"] + sidecar.measured["waited_s"] <= sidecar.measured["seconds"] + 0.01
    assert 0 < sidecar.measured["decode_s"] <= sidecar.measured["decoders_s"]
    assert re.search(
        r"pictures/s; the model alone would take .* the wall", store.read_bytes(log_path("score", 0)).decode()
    )


def _figures(**measured: float) -> dict[str, float]:
    """Of a part of 80 pictures that took ten seconds, with four decoding threads."""
    names = ("model_s", "decode_s", "waited_s", "starved_s", "rows_waited_s")
    return {"scored": 80, "seconds": 10, "decoders_s": 40} | {name: measured.get(name, 0.0) for name in names}


def test_the_wall_is_who_had_work_all_the_time() -> None:
    model = _figures(model_s=9.5, decode_s=8, rows_waited_s=9)
    assert scoring_wall([model, {}]) == (
        "the model alone would take 8.4 pictures/s and worked 95% of the time, 4 decoding threads 40.0 and 20%; "
        "the model is the wall"
    )
    decoding = _figures(model_s=3, decode_s=38, waited_s=6, rows_waited_s=9)
    assert "decoding and resizing are the wall: give the workers more CPU cores" in scoring_wall([decoding])
    assert scoring_wall([_figures(model_s=3, decode_s=8, rows_waited_s=2)]).endswith(
        "reading and writing rows is the wall: more workers (score.workers)"
    )
    assert scoring_wall([{"answers": 3}, {"scored": 3, "model_s": 1.0}]) == "", (
        "another stage's, or of an earlier program"
    )


def test_threads_that_wait_for_a_core_name_the_cores_and_who_takes_them() -> None:
    shared = _figures(model_s=6, decode_s=9, starved_s=20, rows_waited_s=9)
    assert scoring_wall([shared]).endswith(
        "the CPU's cores are the wall: decoding and resizing take 60% of their work, the model 40%"
    )
    one = _figures(model_s=9.5, decode_s=9, starved_s=20, rows_waited_s=9)
    assert scoring_wall([one]).endswith("the model is the wall"), "it has a core, and no other thread can help it"


def test_waiting_for_a_core_is_nobodys_work_and_a_gpus_pass_is_its_own() -> None:
    timing = ScoringTime(2)
    timing.add_decoding(3.0, 1.0)
    timing.add_pass(4, waited_s=0.5, seconds=2.0, cpu_s=0.75)
    assert (timing.decode_s, timing.model_s, timing.starved_s) == (1.0, 0.75, 3.25)
    timing.add_pass(4, waited_s=0.5, seconds=2.0, cpu_s=None)
    assert (timing.pictures, timing.model_s, timing.starved_s, timing.waited_s) == (8, 2.75, 3.25, 1.0)


@needs_model
@pytest.mark.parametrize("slow", ["decoding", "the model"])
def test_a_side_that_is_made_slow_is_named(store: Store, monkeypatch: pytest.MonkeyPatch, slow: str) -> None:
    _write(store, ["safe"] * 12, QUERIES[:1])
    name = {"decoding": "prepare_bytes", "the model": "match_batch"}[slow]
    seconds = {"decoding": 0.1, "the model": 1.2}[slow]  # a picture, and all twelve: more than a busy disk takes
    real = getattr(ClipEncoder, name)

    def works(*inputs: object) -> object:
        began = time.thread_time()
        while time.thread_time() - began < seconds:
            pass
        return real(*inputs)

    monkeypatch.setattr(ClipEncoder, name, works)
    stage = score_stage(SETTINGS.model_copy(update={"decoders": 1}))
    sidecar = run_part(stage, store, stage.make_worker(), 0)
    # another program may have had the core, or the disk, for some time
    idle = {"starved_s": 0.0, "rows_waited_s": sidecar.measured["seconds"]}
    wall = scoring_wall([dict(sidecar.measured) | idle]).split("; ")[1]
    assert wall.startswith({"decoding": "decoding and resizing are", "the model": "the model is"}[slow])


def test_decoding_threads_share_the_cores_among_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))
    assert decoding_threads(SETTINGS) == 16
    assert decoding_threads(SETTINGS.model_copy(update={"workers": 4})) == 4
    assert decoding_threads(SETTINGS.model_copy(update={"workers": 40})) == 1
    assert decoding_threads(SETTINGS.model_copy(update={"decoders": 5})) == 5


@needs_model
def test_a_pass_that_memory_cannot_hold_ends_the_part_with_a_remedy(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(store, ["safe"] * 20, QUERIES[:1])
    stage = score_stage(SETTINGS)
    worker = stage.make_worker()

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(ClipEncoder, "_encode", full)
        with pytest.raises(StageError, match=r"no room for a batch of 3 pictures.*remedy: a smaller score\.batch"):
            run_part(stage, store, worker, 0)
    run_part(stage, store, worker, 0)
    assert len(rows_of(store, SCORES, 0)) == 20, "the next run goes on"


@needs_model
def test_a_gpu_that_vanishes_in_the_third_pass_loses_nothing_and_the_next_run_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(store, ["safe"] * 20, QUERIES[:1])
    expected = _scored(store)
    stage = score_stage(SETTINGS.model_copy(update={"batch": 4}))
    worker, passes, real = stage.make_worker(), [0], ClipEncoder._encode

    def vanishes(encoder: ClipEncoder, pixels: object) -> object:
        passes[0] += 1
        if passes[0] == 3:
            raise torch.AcceleratorError("CUDA error: device-side assert triggered")
        return real(encoder, pixels)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(ClipEncoder, "_encode", vanishes)
        with pytest.raises(StageError, match=r"the GPU failed during a batch of 4.*remedy.*nvidia-smi.*is kept"):
            run_part(stage, store, worker, 0)
    assert rows_of(store, SCORES, 0) == expected, "what was there stays until the new part is whole"
    run_part(stage, store, stage.make_worker(), 0)
    rows = rows_of(store, SCORES, 0)
    assert [row["status"] for row in rows] == ["ok"] * 20
    assert [row["phrase"] for row in rows] == [row["phrase"] for row in expected]


@needs_model
def test_a_vector_that_is_no_number_fails_its_own_row_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(store, ["safe"] * 5, QUERIES[:1])
    expected, real = _scored(store), ClipEncoder._encode

    def spoils(encoder: ClipEncoder, pixels: list[object]) -> torch.Tensor:
        vectors: torch.Tensor = real(encoder, pixels).clone()
        vectors[1] = torch.nan
        return vectors

    monkeypatch.setattr(ClipEncoder, "_encode", spoils)
    write_rows(store, SAFETY, 0, [{**row, "nsfw": 0.01} for row in rows_of(store, SAFETY, 0)])
    rows = _scored(store)
    assert [row["error"] for row in rows] == [None, "not_finite", None, None, "not_finite"], "passes of three"
    assert rows[1]["status"] == "failed" and rows[1]["score"] is None
    assert [rows[i] for i in (0, 2, 3)] == [expected[i] for i in (0, 2, 3)]


@needs_model
def test_a_gpu_that_another_run_has_filled_is_named_before_the_first_part(monkeypatch: pytest.MonkeyPatch) -> None:
    real, gpu = torch.nn.Module.to, torch.device("cuda", 0)

    def full(module: torch.nn.Module, *where: object, **options: object) -> object:
        if gpu in where:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has 3.00 MiB free")
        return real(module, *where, **options)  # type: ignore[call-overload]

    monkeypatch.setattr("torch.nn.Module.to", full)
    monkeypatch.setattr("moodarchive.models.clip.choose_device", lambda: gpu)
    with pytest.raises(StageError, match=r"no room for the model that scores.*remedy.*nvidia-smi lists it"):
        score_stage(SETTINGS).make_worker()
