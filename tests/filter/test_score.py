"""A picture's score is the best cosine to its emotions' phrases, by the bundled small CLIP."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from filter.score import DECIMALS, Scorer, ScoreSettings, phrases_of_emotions, score_stage
from moodarchive.emotions.lexicon import load_lexicon
from moodarchive.emotions.taxonomy import CONTEXTS, EMOTIONS, Cell
from moodarchive.errors import ConfigError, PrunedPictureError
from moodarchive.models.clip import ClipEncoder
from moodarchive.running.stage import run_part
from moodarchive.settings import load
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import IMAGES, ITEMS, SAFETY, SCORES
from tests.making import Row, encoded, opened, rows_of, textured, write_rows

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


def test_changed_templates_make_scores_stale_and_batch_sizes_do_not() -> None:
    plain = score_stage(SETTINGS).settings
    assert score_stage(SETTINGS.model_copy(update={"batch": 9, "threads": 2})).settings == plain
    assert score_stage(SETTINGS.model_copy(update={"templates": ("{emotion}",)})).settings != plain


def test_a_model_that_cannot_be_loaded_is_named_at_once(tmp_path: Path) -> None:
    if find_spec("open_clip") is None:
        pytest.skip("the extra clip is not installed")
    encoder = ClipEncoder(model=f"local-dir:{tmp_path}/absent")
    with pytest.raises(ConfigError, match=r"absent.*cannot be loaded.*remedy"):
        Scorer(encoder, ("{emotion}",), 4)


@needs_model
def test_the_best_phrase_of_the_best_emotion_gives_the_score(store: Store) -> None:
    jpegs = _write(store, ["safe"] * 7, QUERIES)
    encoder = ClipEncoder(model=SETTINGS.model)
    phrases = phrases_of_emotions(SETTINGS.templates)
    for row, jpeg in zip(_scored(store), jpegs, strict=True):
        (vector,) = encoder.images([opened(jpeg)])
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
def test_every_emotion_is_scored_and_the_searched_ones_name_the_row(store: Store) -> None:
    (jpeg,) = _write(store, ["safe"], QUERIES)
    (row,) = _scored(store)
    encoder, phrases = ClipEncoder(model=SETTINGS.model), phrases_of_emotions(SETTINGS.templates)
    (vector,) = encoder.images([opened(jpeg)])
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
