"""The perceptual hash is the one that others compute, and no accident of rounding."""

import imagehash
import numpy as np
import pytest
from PIL import Image

from crawl.phash import perceptual_hash
from tests.making import textured


def _by_imagehash(image: Image.Image) -> int:
    return int.from_bytes(np.packbits(imagehash.phash(image).hash.flatten()).tobytes(), "big")


def test_hashes_are_those_of_imagehash() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 90, 70, 3), dtype=np.uint8)
    pictures = [textured(96 + 7 * seed, 96 + 3 * seed, seed) for seed in range(60)] + [
        Image.fromarray(n) for n in noise
    ]
    found = [perceptual_hash(np.asarray(picture)) for picture in pictures]
    assert found == [_by_imagehash(picture) for picture in pictures]
    assert len(set(found)) == len(pictures)


@pytest.mark.parametrize("colour", ["black", "white", "red", (7, 9, 200)])
def test_a_plain_ground_has_one_hash_at_every_size(colour: str) -> None:
    hashes = {
        perceptual_hash(np.asarray(Image.new("RGB", size, colour))) for size in ((100, 100), (333, 97), (768, 511))
    }
    assert len(hashes) == 1
    assert hashes <= {0, 1 << 63}
