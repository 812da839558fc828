"""The perceptual hash is the one that others compute, and no accident of rounding."""

import imagehash
import numpy as np
import pytest
from PIL import Image

from crawl.images.phash import perceptual_hash, small_greys
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


@pytest.mark.parametrize(
    "size",
    [
        (1, 1),
        (1, 101),
        (2, 255),
        (3, 300),
        (4, 400),
        (5, 31),
        (31, 33),
        (32, 32),
        (33, 97),
        (512, 341),
        (768, 767),
        (900, 2),
    ],
)
def test_small_greys_are_pillow_s_value_for_value(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    for pixels in (noise, (noise > 127).astype(np.uint8) * 255):
        grey = Image.fromarray(pixels).convert("L").resize((32, 32), Image.Resampling.LANCZOS)
        assert np.array_equal(small_greys(pixels), np.asarray(grey))


@pytest.mark.parametrize("colour", ["black", "white", "red", (7, 9, 200)])
def test_a_plain_ground_has_one_hash_at_every_size(colour: str) -> None:
    hashes = {
        perceptual_hash(np.asarray(Image.new("RGB", size, colour))) for size in ((100, 100), (333, 97), (768, 511))
    }
    assert len(hashes) == 1
    assert hashes <= {0, 1 << 63}
