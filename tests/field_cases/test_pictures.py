"""Pictures with profiles, odd samples and long texts, as in the field cases."""

from typing import Any

import numpy as np
import pytest

from crawl.images.decode import PictureLimits, to_picture
from pipelines.demo.stock_site.catalogue import photo_catalogue
from tests.field_cases.cases import case, ids, needs_cases, rows
from tests.making import opened

pytestmark = needs_cases

LIMITS = PictureLimits(max_pixels=100_000_000, shortest_side=64, longest_side=768, jpeg_quality=95)
COLOURS = rows("pictures/expected_colours.csv")
VALUES = rows("pictures/expected_values.csv")


def _stored(name: str, at: tuple[int, int]) -> list[int]:
    picture = opened(to_picture(case(f"pictures/{name}").read_bytes(), LIMITS).bytes).convert("RGB")
    pixel = picture.getpixel(at)
    assert isinstance(pixel, tuple)
    return list(pixel)


@pytest.mark.parametrize("colour", COLOURS, ids=ids(COLOURS, "file", "x"))
def test_colours_are_srgb(colour: dict[str, str]) -> None:
    right = [int(colour[f"right_{name}"]) for name in "rgb"]
    stored = _stored(colour["file"], (int(colour["x"]), int(colour["y"])))
    assert np.abs(np.subtract(stored, right)).max() <= int(colour["tolerance"])


@pytest.mark.parametrize("value", VALUES, ids=ids(VALUES, "file", "x"))
def test_values_keep_their_tones(value: dict[str, str]) -> None:
    right: Any = [int(level) for level in value["right"].split()]
    stored = _stored(value["file"].partition(" ")[0], (int(value["x"]), int(value["y"])))
    assert np.abs(np.subtract(stored, right)).max() <= int(value["tolerance"])


def test_every_picture_has_its_values() -> None:
    listed = {row["file"].partition(" ")[0] for row in [*COLOURS, *VALUES]}
    assert {path.name for path in case("pictures").iterdir() if path.suffix != ".csv"} == listed


@pytest.mark.parametrize("folder", ["photos", "photos_semicolon"])
def test_photos_csv(folder: str) -> None:
    (picture,) = photo_catalogue(str(case(folder)))
    assert (picture.title, picture.licence) == ("Red square", "cc0 1.0" if folder == "photos" else "not-stated")
