"""Pictures and captions that are known beforehand become a sealed archive that training reads."""

import io
import json
import random
from pathlib import Path

import pytest
from PIL import Image

from moodarchive.storage.store import Store
from pipelines.demo.drawn_samples import CELLS, Drawing, draw_samples
from pipelines.demo.made_archive import Caption, Made, seal_made
from pipelines.demo.scenes.scene import Scene, draw_scene
from train.data.archive import open_archive

DRAWING = Drawing(split="train", first_seed=5, per_cell=1, size=(48, 36))


def _captioned(scene: Scene, rng: random.Random) -> Caption:
    return Caption(summary=scene.title, stimuli=scene.stimuli[: rng.randint(0, 3)], assessment=scene.emotion)


@pytest.fixture(scope="module")
def drawn() -> list[Made]:
    return draw_samples(DRAWING, _captioned, processes=1)


def test_every_cell_is_drawn_as_a_scene_of_its_seed_is(drawn: list[Made]) -> None:
    assert [(made.emotion, made.context) for made in drawn] == list(CELLS)
    expected = io.BytesIO()
    draw_scene(*CELLS[3], 5, (48, 36)).image.save(expected, "JPEG", quality=90)
    assert drawn[3].jpeg == expected.getvalue()


def test_training_reads_what_was_made(store: Store, drawn: list[Made]) -> None:
    seal_made(store, drawn)
    archive = open_archive(store.root)
    samples = {}
    for shard in archive.shards:
        shard.check_content(lambda key, caption: None)
        rows = shard.rows()
        tar = Path(store.root, shard.tar).read_bytes()
        for row in range(shard.samples):
            metadata = json.loads(tar[slice(*_span(rows, row, "json"))])
            samples[metadata["source_id"]] = metadata | {"jpg": tar[slice(*_span(rows, row, "jpg"))]}
    assert samples.keys() == {made.name for made in drawn}
    for made in drawn:
        metadata = samples[made.name]
        assert (metadata["jpg"], metadata["emotion"], metadata["split"]) == (made.jpeg, made.emotion, "train")
        assert (metadata["summary"], tuple(metadata["stimuli"])) == (made.caption.summary, made.caption.stimuli)
        assert Image.open(io.BytesIO(metadata["jpg"])).size == (metadata["width"], metadata["height"]) == (48, 36)


def _span(rows: dict[str, list[int]], row: int, name: str) -> tuple[int, int]:
    start = rows[f"{name}_offset"][row]
    return start, start + rows[f"{name}_size"][row]


def test_the_same_pictures_give_the_same_seal(tmp_path: Path, drawn: list[Made]) -> None:
    seals = []
    for name, pictures in (("a", drawn), ("b", drawn[::-1])):
        store = Store(str(tmp_path / name))
        seal_made(store, pictures)
        seals.append([shard.tar_sha256 for shard in open_archive(store.root).shards])
    assert seals[0] == seals[1]
