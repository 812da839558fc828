"""Five folds, seeded and stratified by the published label, and the pairs that retrieval is measured on."""

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np

from moodarchive.errors import DatasetError, MissingExtraError
from train.evaluation.scoring import FOLDS, Fold
from train.published.dataset import Captioned, Located

FOLD_PAIRS = 1000
_RARE = "\0rare"


def stratified_folds(strata: Sequence[str], seed: int) -> list[Fold]:
    """Five disjoint folds of equal size that hold every label in its share, as far as whole numbers allow.

    Labels that fewer than five items have are shared out as one. DatasetError for under ten items.
    """
    try:
        from sklearn.model_selection import StratifiedKFold
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "eval") from error
    if len(strata) < 2 * FOLDS:
        raise DatasetError(f"{len(strata)} items are too few for {FOLDS} folds; remedy: the whole set")
    counts = Counter(strata)
    merged = [label if counts[label] >= FOLDS else _RARE for label in strata]
    splitter = StratifiedKFold(n_splits=FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rare labels together may still be fewer than five
        return [np.asarray(fold, dtype=np.int64) for _, fold in splitter.split(np.zeros(len(merged)), merged)]


def pair_folds(data: Captioned, seed: int) -> list[Fold]:
    """Each fold's pairs, in random order: at most 1,000 and no picture twice.

    A picture with several captions may stand in several folds, each time with another caption.
    """
    rng = np.random.default_rng(seed)
    folds = []
    for fold in stratified_folds([pair.label for pair in data.pairs], seed):
        first: dict[Located, int] = {}
        for index in rng.permutation(fold):
            first.setdefault(data.pairs[index].picture, int(index))
        folds.append(np.array(list(first.values())[:FOLD_PAIRS], dtype=np.int64))
    return folds
