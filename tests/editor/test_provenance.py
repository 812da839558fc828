"""An edit tells how it was made, tells nothing of its source's owner, and never stands in a photo's place."""

import os
from dataclasses import replace
from pathlib import Path

import defusedxml.ElementTree
import numpy as np
import pytest
from PIL import Image

from editor.provenance import EditRecord, encode_edit, folder_name, mask_digest, read_record, write_edit
from moodarchive.errors import EditError, StorageFullError

RECORD = EditRecord(
    source_sha256="ab" * 32,
    emotion="joy",
    method="moodifier",
    base="LCM_Dreamshaper_v7",
    model="model sha256:0123456789abcdef",
    prompt='A "bright" <room> & a child\nlaughing, 日本',
    prompt_by="the served model",
    region_by="the served model",
    mask_sha256="cd" * 32,
    seed=7,
    settings={"steps": 12, "tau_c": 0.3},
    version="0.1.0",
)


def _picture() -> Image.Image:
    image = Image.new("RGB", (64, 48), "orange")
    image.info["exif"] = b"Exif\0\0a place"
    image.info["comment"] = "Anna's garden"
    return image


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_the_record_is_read_back_from_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    write_edit(path, _picture(), RECORD)
    assert read_record(path) == RECORD
    data = path.read_bytes()
    assert b"compositeWithTrainedAlgorithmicMedia" in data and b"Edited by a generative model" in data
    assert b"Anna" not in data and b"a place" not in data
    with Image.open(path) as image:
        assert image.size == (64, 48) and not image.getexif() and "comment" not in image.info
    assert os.listdir(tmp_path) == [path.name]


def test_the_xmp_is_well_formed_whatever_the_prompt_holds() -> None:
    data = encode_edit(_picture(), replace(RECORD, prompt="]]> \x00\x0b <a b='\"'/> &amp;"), ".png")
    start, end = data.index(b"<x:xmpmeta"), data.index(b"</x:xmpmeta>") + len(b"</x:xmpmeta>")
    told = defusedxml.ElementTree.fromstring(data[start:end])
    (about,) = told.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    assert about.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType") == RECORD.digital_source_type
    held = EditRecord.parse(str(about.get("{urn:moodarchive:edit:1#}record")))
    assert held.prompt == "]]> \x00\x0b <a b='\"'/> &amp;"


def test_equal_edits_are_equal_bytes() -> None:
    assert encode_edit(_picture(), RECORD, ".png") == encode_edit(_picture(), RECORD, ".png")


def test_nothing_but_an_edit_is_written_over(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    _picture().save(photo)
    before = photo.read_bytes()
    with pytest.raises(EditError, match="no edit of ours"):
        write_edit(photo, _picture(), RECORD)
    assert photo.read_bytes() == before
    write_edit(tmp_path / "out.png", _picture(), RECORD)
    write_edit(tmp_path / "out.png", _picture(), replace(RECORD, seed=8))
    again = read_record(tmp_path / "out.png")
    assert again is not None and again.seed == 8
    with pytest.raises(EditError, match=r"\.png"):
        write_edit(tmp_path / "out.exe", _picture(), RECORD)


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.png"
    write_edit(path, _picture(), RECORD)
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFullError, match="No space left"):
        write_edit(path, _picture(), replace(RECORD, seed=9))
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["out.png"]


def test_a_folder_is_named_without_its_path_and_by_its_weights(tmp_path: Path) -> None:
    model = tmp_path / "anna-secret" / "model"
    model.mkdir(parents=True)
    (model / "w.safetensors").write_bytes(b"1")
    first = folder_name(str(model))
    assert first.startswith("model sha256:") and "anna" not in first
    (model / "w.safetensors").write_bytes(b"2")
    assert folder_name(str(model)) != first
    assert folder_name("SimianLuo/LCM_Dreamshaper_v7") == "SimianLuo/LCM_Dreamshaper_v7"


def test_masks_of_another_shape_or_place_have_another_digest() -> None:
    mask = np.zeros((4, 6), np.float32)
    assert mask_digest(None) == "" and mask_digest(mask) != mask_digest(mask.reshape(6, 4))
    other = mask.copy()
    other[0, 0] = 1
    assert mask_digest(mask) != mask_digest(other)
