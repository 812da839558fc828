"""The pairs that EmoEditor learns from, out of a sealed EmoPair set."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from moodarchive.archive.manifest import PairManifest
from moodarchive.emotions.taxonomy import MIKELS_EIGHT
from moodarchive.errors import ConfigError, DamagedPartError, NotWholeError
from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH
from moodarchive.tables.parquet import read_table
from moodarchive.tables.parts import finished_parts, read_part
from moodarchive.tables.schemas import PAIR_INDEX, PAIRS
from train.diffusion.pair_latents import PicturePairs, Side

_COLUMNS = ("key", "kept", "class_target", "prompt", "source_softmax", "source_sha256", "target_sha256")


class Pairs(PicturePairs, Protocol):
    """With what leads from one picture to the other; equal names mean equal words, too."""

    @property
    def prompts(self) -> Sequence[str]:
        """The instructions."""
        ...

    @property
    def targets(self) -> Sequence[int]:
        """The targets' classes among Mikels' eight."""
        ...

    @property
    def distributions(self) -> Tensor:
        """float32 [N, 8], the sources'."""
        ...


class SealedPairs:
    """The kept pairs of some shard sets, in the order of the shards; pictures are read and digested when needed."""

    def __init__(self, root: str, *, sets: Sequence[str], size: int) -> None:
        self._store, self._size = Store(root), size
        if not self._store.exists(MANIFEST_PATH):
            raise NotWholeError(f"{root} is no sealed EmoPair set; remedy: moodarchive pairs build")
        manifest = self._store.read_bytes(MANIFEST_PATH)
        try:
            PairManifest.from_json(manifest)
        except ValueError as error:
            raise NotWholeError(f"{root}/{MANIFEST_PATH} is no EmoPair set's ({error})") from None
        self.name = f"EmoPair {hashlib.sha256(manifest).hexdigest()[:16]}, sets {', '.join(sets)}, {size} pixels"
        self._places = list(self._find(sets))
        if not self._places:
            raise ConfigError(f"{root} has no pairs in {', '.join(sets)}; remedy: other sets, or more pairs")
        wanted = {key: place for place, (key, _, _, _) in enumerate(self._places)}
        rows: list[dict[str, object]] = [{}] * len(self._places)
        for part in finished_parts(self._store, PAIRS):
            for batch in read_part(self._store, PAIRS, part, columns=_COLUMNS, batch_rows=1000):
                for row in batch.to_pylist():
                    if row["key"] in wanted:
                        rows[wanted[row["key"]]] = row
        self._rows = rows
        self.prompts = [str(row["prompt"]) for row in rows]
        self.targets = [MIKELS_EIGHT.index(str(row["class_target"])) for row in rows]
        self.distributions = torch.tensor([row["source_softmax"] for row in rows], dtype=torch.float32)

    def _find(self, sets: Sequence[str]) -> Iterator[tuple[str, str, tuple[int, int], tuple[int, int]]]:
        """Key, tar, and where source and target lie in it."""
        for _, sidecar in sorted(finished_parts(self._store, PAIR_INDEX).items()):
            for index in sorted(path for path in sidecar.files if path.endswith(".parquet")):
                if index.split("/")[1] in sets:
                    with self._store.open_read(index) as file:
                        for row in read_table(file).to_pylist():
                            spans = [(row[f"{side}_offset"], row[f"{side}_size"]) for side in ("source", "target")]
                            yield row["key"], index.removesuffix(".parquet") + ".tar", spans[0], spans[1]

    def __len__(self) -> int:
        return len(self._places)

    def pixels(self, side: Side, rows: Sequence[int]) -> Tensor:
        """See ``Pairs``; DamagedPartError for a picture that is not what was sealed."""
        return torch.stack([self._read(side, row) for row in rows])

    def _read(self, side: Side, row: int) -> Tensor:
        key, tar, source, target = self._places[row]
        offset, size = source if side == "source" else target
        with self._store.open_read(tar) as file:
            file.seek(offset)
            content = file.read(size)
        if hashlib.sha256(content).hexdigest() != self._rows[row][f"{side}_sha256"]:
            raise DamagedPartError(
                f"{self._store.root}/{tar}: {key}'s {side} is not what was sealed; remedy: moodarchive pairs verify"
            )
        image = Image.open(io.BytesIO(content)).convert("RGB")
        if image.size != (self._size, self._size):
            image = image.resize((self._size, self._size), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)
