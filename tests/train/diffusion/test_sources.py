"""Pictures of an archive and of a folder: cut to squares, with true words, and named by what they hold."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from moodarchive.errors import ConfigError
from moodarchive.storage.store import Store
from tests.making import sealed_archive, textured
from train.diffusion.settings import PictureSource
from train.diffusion.sources import JoinedPictures, open_source


def _folder(top: Path) -> Path:
    (top / "below").mkdir(parents=True)
    textured(40, 20, seed=1).save(top / "a.png")
    (top / "a.txt").write_text("a fir\n in rain ")
    textured(20, 40, seed=2).save(top / "below/b.jpg")
    textured(20, 20, seed=3).save(top / "bare.png")
    (top / "c.jpg").write_bytes(b"no picture")
    (top / "c.txt").write_text("nothing")
    (top / "metadata.jsonl").write_text(json.dumps({"file_name": "below/b.jpg", "text": "a house"}) + "\n")
    return top


def test_a_folders_pictures_come_with_their_captions_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    source = PictureSource(kind="folder", folder=str(_folder(tmp_path / "pictures")))
    pictures = open_source(source, 16, tmp_path / "cache")
    assert pictures.left_out == {"no_caption": 1, "corrupt_image": 1}
    assert pictures.pixels([1, 0]).shape == (2, 3, 16, 16)
    assert [pictures.prompt(row, random.Random(0)) for row in range(2)] == ["a fir in rain", "a house"]
    middle = textured(40, 20, seed=1).crop((10, 0, 30, 20)).resize((16, 16))
    assert abs(pictures.pixels([0]).float().mean().item() - np.asarray(middle).mean()) < 3


def test_equal_pictures_have_one_name_wherever_they_lie_and_other_words_another(tmp_path: Path) -> None:
    top = _folder(tmp_path / "pictures")
    first = open_source(PictureSource(kind="folder", folder=str(top)), 16, tmp_path / "cache")
    shutil.copytree(top, tmp_path / "copy")
    copied = PictureSource(kind="folder", folder=str(tmp_path / "copy"))
    assert open_source(copied, 16, tmp_path / "cache").name == first.name
    (tmp_path / "copy/a.txt").write_text("a fir in snow")
    assert open_source(copied, 16, tmp_path / "cache").name != first.name


def test_an_archives_pictures_are_asked_for_by_caption_and_emotion(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "archive"))
    sealed_archive(store)
    pictures = open_source(PictureSource(kind="archive", folder=store.root), 16, tmp_path / "cache")
    assert len(pictures) > 3 and pictures.left_out == {}
    prompts = {pictures.prompt(0, random.Random(seed)) for seed in range(40)}
    assert len(prompts) == 5 and any(prompt.startswith("A photo that evokes ") for prompt in prompts)
    joined = JoinedPictures([pictures, pictures])
    assert len(joined) == 2 * len(pictures)
    assert joined.pixels([len(pictures)]).equal(pictures.pixels([0]))
    with pytest.raises(ConfigError, match="has no set private"):
        open_source(PictureSource(kind="archive", folder=store.root, sets=("private",)), 16, tmp_path / "cache")


def test_a_folder_that_teaches_nothing_is_refused(tmp_path: Path) -> None:
    source = PictureSource(kind="folder", folder=str(tmp_path / "pictures"))
    with pytest.raises(ConfigError, match=r"there is no folder .*remedy"):
        open_source(source, 16, tmp_path / "cache")
    top = _folder(tmp_path / "pictures")
    for name in ("a.txt", "metadata.jsonl", "c.jpg"):
        (top / name).unlink()
    with pytest.raises(ConfigError, match=r"3 no_caption.*NAME.txt beside NAME.jpg"):
        open_source(source, 16, tmp_path / "cache")
    (top / "metadata.jsonl").write_text('{"file_name": "a.png"}\n')
    with pytest.raises(ConfigError, match=r"metadata.jsonl, line 1: .*text"):
        open_source(source, 16, tmp_path / "cache")
    (top / "metadata.jsonl").unlink()
    (top / "a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"a.txt cannot be read"):
        open_source(source, 16, tmp_path / "cache")
