"""Measures a CLIP on a published dataset as the paper does: top 1 to 3 of its classes, or recall of its pairs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from moodarchive.errors import DatasetError
from moodarchive.models.clip import ClipEncoder, Embeddings
from train.evaluation.prompts import class_embeddings
from train.evaluation.scoring import Evaluation, Fold, LeftOut, recall_figures, top_figures
from train.published.affection import read_affection
from train.published.dataset import Captioned, Labelled, Located
from train.published.emoset import read_emoset
from train.published.emotic import read_emotic
from train.published.emotion6 import read_emotion6
from train.published.folds import pair_folds, stratified_folds
from train.published.pictures import batches
from train.published.senticap import read_senticap

READERS: Mapping[str, Callable[[Path], Labelled | Captioned]] = {
    "emotion6": read_emotion6,
    "emoset": read_emoset,
    "emotic": read_emotic,
    "senticap": read_senticap,
    "affection": read_affection,
}


def read_published(name: str, folder: Path) -> Labelled | Captioned:
    """DatasetError for an unknown name, a folder that is not there, or one that is not as published."""
    if name not in READERS:
        raise DatasetError(f"no published dataset is called {name!r}; remedy: one of {', '.join(READERS)}")
    if not folder.is_dir():
        raise DatasetError(f"{name}: {folder} is no folder; remedy: --data {name}=FOLDER with the set unpacked in it")
    return READERS[name](folder)


def measure(data: Labelled | Captioned, encoder: ClipEncoder, *, seed: int = 0) -> Evaluation:
    """Figures over five folds. Pictures that cannot be read are left out of their folds and named."""
    return _measure_classes(data, encoder, seed) if isinstance(data, Labelled) else _measure_pairs(data, encoder, seed)


def _measure_classes(data: Labelled, encoder: ClipEncoder, seed: int) -> Evaluation:
    folds = stratified_folds(data.strata, seed)
    classes = class_embeddings(encoder, data.classes)
    images, readable, left_out = _embed_images(data.name, data.folder, data.pictures, encoder)
    scores = images @ classes.T
    labels = [data.labels[index] for index in readable]
    figures = top_figures(scores, labels, _keep_readable(folds, readable, data.name))
    return Evaluation(
        model=encoder.model,
        data=data.name,
        pictures=len(readable),
        folds=len(folds),
        figures=figures,
        left_out=[*data.left_out, *left_out],
    )


def _measure_pairs(data: Captioned, encoder: ClipEncoder, seed: int) -> Evaluation:
    chosen = pair_folds(data, seed)
    pairs = [data.pairs[index] for fold in chosen for index in fold]
    ends = np.cumsum([len(fold) for fold in chosen])
    folds = [np.arange(end - len(fold), end) for end, fold in zip(ends, chosen, strict=True)]
    captions = encoder.texts([pair.caption for pair in pairs])
    images, readable, left_out = _embed_images(data.name, data.folder, [pair.picture for pair in pairs], encoder)
    figures = recall_figures(images, captions[readable], _keep_readable(folds, readable, data.name))
    return Evaluation(
        model=encoder.model,
        data=data.name,
        pictures=len(readable),
        folds=len(folds),
        figures=figures,
        left_out=[*data.left_out, *left_out],
    )


def _embed_images(
    name: str, folder: Path, pictures: Sequence[Located], encoder: ClipEncoder
) -> tuple[Embeddings, npt.NDArray[np.int64], list[LeftOut]]:
    """[readable, D] unit vectors, the indexes of the pictures that could be read, and the others."""
    vectors, readable, left_out, at = [], [], [], 0
    for batch in batches(folder, pictures, encoder.prepare):
        images = [opened for opened in batch if not isinstance(opened, LeftOut)]
        left_out += [opened for opened in batch if isinstance(opened, LeftOut)]
        readable += [at + index for index, opened in enumerate(batch) if not isinstance(opened, LeftOut)]
        at += len(batch)
        if images:
            vectors.append(encoder.embed_pixels(images))
    if not vectors:
        reasons = ", ".join(sorted({bad.reason for bad in left_out}))
        raise DatasetError(
            f"{name}: none of its {len(pictures):,} pictures under {folder} can be read ({reasons}; the first is "
            f"{folder / pictures[0].path}); remedy: unpack the pictures there"
        )
    return np.concatenate(vectors), np.array(readable, dtype=np.int64), left_out


def _keep_readable(folds: Sequence[Fold], readable: npt.NDArray[np.int64], name: str) -> list[Fold]:
    """The folds as indexes among the pictures that were read. DatasetError for a fold without any."""
    row = {int(index): number for number, index in enumerate(readable)}
    kept = [np.array([row[int(index)] for index in fold if int(index) in row], dtype=np.int64) for fold in folds]
    if not all(len(fold) for fold in kept):
        raise DatasetError(f"{name}: too few of its pictures can be read for five folds; remedy: the whole set")
    return kept
