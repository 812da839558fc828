"""Figures of a model on a sealed set: right where the answer is known, and beside chance."""

from pathlib import Path

import numpy as np
import pytest

from moodarchive.emotions.taxonomy import EMOTIONS
from moodarchive.errors import ConfigError
from moodarchive.models.clip import ClipEncoder, Embeddings
from moodarchive.storage.store import Store
from tests.making import sealed_archive
from tests.train.small import tiny_clip
from train.data.archive import open_archive
from train.evaluation.evaluate import Embedded, _classify, embed_archive, emotion_embeddings, evaluate
from train.evaluation.scoring import recall_figures


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = Store(str(tmp_path_factory.mktemp("archive")))
    sealed_archive(store)
    return store.root


def _known(n: int, rng: np.random.Generator) -> Embedded:
    emotions = [EMOTIONS[place % 27] for place in range(n)]
    return Embedded(images=_unit(rng, n), captions=_unit(rng, n), emotions=emotions)


def _unit(rng: np.random.Generator, n: int) -> Embeddings:
    found = rng.normal(size=(n, 27)).astype(np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


def test_a_perfect_model_has_everything_right_and_a_blind_one_is_at_chance() -> None:
    rng = np.random.default_rng(0)
    found = _known(5400, rng)
    prompts = np.eye(27, dtype=np.float32)
    places = [EMOTIONS.index(emotion) for emotion in found.emotions]
    folds = np.array_split(np.arange(5400), 5)
    perfect = Embedded(images=prompts[places], captions=found.captions, emotions=found.emotions)
    assert {figure.mean for figure in _classify(perfect, prompts, folds).values()} == {100.0}
    for figure in _classify(found, prompts, folds).values():
        assert figure.mean == pytest.approx(figure.chance, abs=2.5)
    small = [fold[:200] for fold in folds]
    same = Embedded(images=found.images, captions=found.images, emotions=found.emotions)
    assert {figure.mean for figure in recall_figures(same.images, same.captions, small).values()} == {100.0}
    for name, figure in recall_figures(found.images, found.captions, small).items():
        assert figure.mean == pytest.approx(figure.chance, abs=3), name


def test_groups_forgive_a_guess_within_the_group() -> None:
    told, guessed = ("joy", "joy", "anger", "fear", "surprise"), ("joy", "love", "annoyance", "sadness", "joy")
    prompts = np.eye(27, dtype=np.float32)
    images = prompts[[EMOTIONS.index(emotion) for emotion in guessed]]
    figures = _classify(Embedded(images=images, captions=images, emotions=told), prompts, [np.arange(5)])
    assert figures["zero-shot, emotions"].mean == 20.0  # joy
    assert figures["zero-shot, ekman"].mean == 60.0  # love is joy, annoyance is anger; fear is not sadness
    assert figures["zero-shot, sentiment"].mean == 80.0  # fear and sadness are both negative; surprise is ambiguous
    shares = [12 / 27, 12 / 27, 3 / 27, 2 / 27, 4 / 27]
    assert figures["zero-shot, ekman"].chance == pytest.approx(100 * sum(shares) / 5)
    assert figures["zero-shot, emotions"].chance == pytest.approx(100 / 27)


def test_a_model_that_sees_no_difference_gets_no_credit() -> None:
    same = np.tile(np.eye(27, dtype=np.float32)[:1], (50, 1))
    found = Embedded(images=same, captions=same, emotions=["joy"] * 50)
    assert recall_figures(found.images, found.captions, [np.arange(50)])["image to text, R@10"].mean == 0.0


def test_in_bfloat16_a_set_is_embedded_and_measured_as_in_float32(root: str, tmp_path: Path) -> None:
    archive, name = open_archive(root, ("heldout",)), tiny_clip(tmp_path)
    full, half = (ClipEncoder(model=name, precision=precision) for precision in ("fp32", "bf16"))
    exact, near = embed_archive(archive, full), embed_archive(archive, half)
    for one, other in ((exact.images, near.images), (exact.captions, near.captions)):
        assert other.dtype == np.float32
        assert not np.array_equal(one, other)
        assert np.allclose(np.linalg.norm(other, axis=1), 1, atol=1e-6)
        assert ((one * other).sum(-1) > 0.999).all()
    prompts = emotion_embeddings(full), emotion_embeddings(half)
    assert ((prompts[0] * prompts[1]).sum(-1) > 0.999).all()
    # what a cosine of either says of a picture's emotions moves by less than emotions of a trained model differ
    assert np.abs(exact.images @ prompts[0].T - near.images @ prompts[1].T).max() < 0.02
    assert evaluate(archive, half).figures.keys() == evaluate(archive, full).figures.keys()


def test_a_set_that_is_not_there_is_refused(root: str, tmp_path: Path) -> None:
    from moodarchive.errors import MoodArchiveError

    with pytest.raises(MoodArchiveError, match=r"no shards of private; remedy"):
        open_archive(root, ("private",))


def test_one_picture_is_too_few(root: str, tmp_path: Path) -> None:
    archive = open_archive(root, ("heldout",))
    one = type(archive)(root=root, seal=archive.seal, shards=())
    with pytest.raises((ConfigError, ValueError)):
        evaluate(one, ClipEncoder(model=tiny_clip(tmp_path)))
