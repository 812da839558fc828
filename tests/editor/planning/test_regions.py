"""Boxes become masks, faces are found, and outside its mask an edit keeps the source's own pixels."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from editor.planning.faces import face_boxes
from editor.planning.regions import Box, box_mask, with_own_surroundings
from moodarchive.errors import EditError


def test_boxes_are_joined_and_the_smallest_has_a_pixel() -> None:
    mask = box_mask([Box(0, 0, 0.5, 0.5), Box(0.999, 0.999, 1, 1)], (64, 32))
    assert mask.shape == (32, 64) and mask[:16, :32].all() and mask[-1, -1] == 1
    assert mask.sum() == 16 * 32 + 1


@pytest.mark.parametrize("text", ["", "a,b,c,d", "0,0,1", "0,0,0,1", "0.5,0,0.2,1", "0,0,1,1.5", "0,0,nan,1"])
def test_a_box_that_is_none_is_told_with_what_is_legal(text: str) -> None:
    with pytest.raises(EditError, match="legal are"):
        Box.parse(text)


def _noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (300, 400, 3), np.uint8))


def test_outside_the_mask_every_pixel_is_the_sources() -> None:
    source, edited = _noise(0), _noise(1)
    mask = box_mask([Box(0.25, 0.25, 0.75, 0.75)], source.size)
    found = np.asarray(with_own_surroundings(source, edited, mask))
    assert np.array_equal(found[mask == 0], np.asarray(source)[mask == 0])
    middle = (slice(100, 200), slice(150, 250))
    assert np.array_equal(found[middle], np.asarray(edited)[middle])


def test_a_thin_region_still_changes_and_no_mask_is_the_edit() -> None:
    source, edited = _noise(0), _noise(1)
    thin = box_mask([Box(0.5, 0.0, 0.5025, 1.0)], source.size)
    found = np.asarray(with_own_surroundings(source, edited, thin))
    assert np.array_equal(found[thin > 0], np.asarray(edited)[thin > 0])
    assert with_own_surroundings(source, edited, None) is edited


def drawn_face(size: int = 300) -> Image.Image:
    """Light skin, dark eyes and brows, a nose's shadow, a mouth: what the cascade was made to find."""
    image = Image.new("RGB", (size, size), (150, 160, 170))
    draw = ImageDraw.Draw(image)
    draw.ellipse((70, 40, 230, 260), fill=(224, 188, 160))
    draw.rectangle((70, 30, 230, 75), fill=(60, 40, 30))
    for left in (95, 165):
        draw.rectangle((left, 105, left + 40, 113), fill=(70, 45, 35))
        draw.ellipse((left + 4, 120, left + 36, 138), fill=(250, 250, 250))
        draw.ellipse((left + 12, 120, left + 28, 138), fill=(40, 30, 25))
    draw.polygon([(150, 130), (138, 175), (162, 175)], fill=(200, 160, 135))
    draw.ellipse((120, 200, 180, 222), fill=(150, 70, 70))
    from PIL import ImageFilter

    return image.filter(ImageFilter.GaussianBlur(2))


def test_a_face_gives_its_fixed_region_and_a_landscape_none() -> None:
    (face,) = face_boxes(drawn_face())
    assert face.x0 < 0.45 and face.x1 > 0.55 and face.y0 < 0.4 and face.y1 > 0.6 and face.area < 0.9
    land = Image.new("RGB", (300, 300), (120, 170, 220))
    land.paste((60, 120, 50), (0, 180, 300, 300))
    assert face_boxes(land) == ()
