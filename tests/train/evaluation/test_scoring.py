"""Figures equal those of scikit-learn, of CLIP_benchmark's recall and of hand counting."""

import numpy as np
import pytest
import torch
from sklearn.metrics import top_k_accuracy_score

from moodarchive.models.clip import Embeddings
from train.evaluation.scoring import figure_of, recall_figures, top_figures

RNG = np.random.default_rng(5)


def _unit(n: int) -> Embeddings:
    found = RNG.normal(size=(n, 16)).astype(np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


def test_a_handful_counted_by_hand() -> None:
    scores = np.array([[0.9, 0.1, 0.5, 0.0], [0.2, 0.3, 0.4, 0.1], [0.1, 0.2, 0.3, 0.4]], dtype=np.float32)
    found = top_figures(scores, [(0,), (0, 1), (1,)], [np.arange(3)])
    # the first is right at once; of the second, class 1 stands behind class 2; of the third, class 1 is third
    assert [round(found[f"top-{top}"].mean, 4) for top in (1, 2, 3)] == [33.3333, 66.6667, 100.0]
    # one true class of four: 1/4, 2/4, 3/4; two of four: 1/2, 5/6, 1
    assert found["top-1"].chance == pytest.approx(100 * (0.25 + 0.5 + 0.25) / 3)
    assert found["top-2"].chance == pytest.approx(100 * (0.5 + 5 / 6 + 0.5) / 3)
    assert found["top-3"].chance == pytest.approx(100 * (0.75 + 1 + 0.75) / 3)


def test_single_labels_score_as_scikit_learn_says_in_every_fold() -> None:
    scores, labels = RNG.random((200, 8), dtype=np.float32), RNG.integers(0, 8, 200)
    folds = np.array_split(RNG.permutation(200), 5)
    found = top_figures(scores, [(int(label),) for label in labels], folds)
    for top in (1, 2, 3):
        values = [100 * top_k_accuracy_score(labels[fold], scores[fold], k=top, labels=range(8)) for fold in folds]
        assert found[f"top-{top}"].mean == pytest.approx(np.mean(values))
        assert found[f"top-{top}"].deviation == pytest.approx(np.std(values, ddof=1))


def test_a_model_that_sees_no_difference_gets_no_credit() -> None:
    found = top_figures(np.ones((20, 6), dtype=np.float32), [(3,)] * 20, [np.arange(20)])
    assert {figure.mean for figure in found.values()} == {0.0}


def test_chance_is_what_guessing_gives() -> None:
    labels = [tuple(RNG.choice(26, size=RNG.integers(1, 6), replace=False).tolist()) for _ in range(6000)]
    found = top_figures(RNG.random((6000, 26), dtype=np.float32), labels, [np.arange(6000)])
    for figure in found.values():
        assert figure.mean == pytest.approx(figure.chance, abs=2)


def test_recall_is_clip_benchmarks() -> None:
    from clip_benchmark.metrics.zeroshot_retrieval import recall_at_k

    images, captions = _unit(60), _unit(60)
    captions = np.asarray(0.4 * images + captions, dtype=np.float32)
    found = recall_figures(images, captions, [np.arange(60)])
    scores, right = torch.from_numpy(captions @ images.T), torch.eye(60, dtype=torch.bool)
    for recall in (1, 5, 10):
        there = 100 * recall_at_k(scores.T, right, recall).mean().item()
        back = 100 * recall_at_k(scores, right, recall).mean().item()
        assert found[f"image to text, R@{recall}"].mean == pytest.approx(there, abs=1e-4)
        assert found[f"text to image, R@{recall}"].mean == pytest.approx(back, abs=1e-4)
    assert 0 < found["image to text, R@1"].mean < 100


def test_one_fold_has_no_deviation() -> None:
    assert figure_of([12.5], 1.0).deviation == 0.0
