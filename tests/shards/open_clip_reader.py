"""Reads shards with open_clip's own training reader, and prints what it read; runs where webdataset is open_clip's.

``python open_clip_reader.py SHARDS BATCH``: SHARDS in braces, as open_clip takes them; read once to train on, shuffled,
and once to evaluate.
"""

import json
import sys
from argparse import Namespace

import torch

from moodarchive.models.torch_compat import import_torchvision_safely

import_torchvision_safely()

from open_clip_train.data import get_wds_dataset  # noqa: E402

TEXT_BYTES = 600


def readable(text: str) -> list[torch.Tensor]:
    """A tokenizer whose tokens can be read back: bytes, filled up with zeros."""
    return [torch.tensor(list(text.encode().ljust(TEXT_BYTES, b"\0")))]


def read(shards: str, batch: int, *, to_train: bool) -> dict[str, object]:
    """The texts and picture sizes of one pass, and the samples that the reader planned."""
    arguments = Namespace(
        train_data=shards, val_data=shards, dataset_resampled=False, train_num_samples=None, val_num_samples=None,
        train_data_upsampling_factors=None, seed=0, workers=0, world_size=1, batch_size=batch,
    )  # fmt: skip
    data = get_wds_dataset(arguments, lambda image: torch.tensor(image.size), to_train, tokenizer=readable)
    texts: list[str] = []
    sizes: set[tuple[int, ...]] = set()
    for images, tokens in data.dataloader:
        sizes |= {tuple(size) for size in images.tolist()}
        texts += [bytes(row).rstrip(b"\0").decode() for row in tokens.tolist()]
    return {"planned": data.dataloader.num_samples, "texts": texts, "sizes": sorted(sizes)}


if __name__ == "__main__":
    print(json.dumps([read(sys.argv[1], int(sys.argv[2]), to_train=to_train) for to_train in (True, False)]))
