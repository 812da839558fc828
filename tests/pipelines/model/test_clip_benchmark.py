"""CLIP_benchmark's own program reads our export offline and finds what `moodarchive eval` finds."""

import json
import socket
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pipelines.demo
from moodarchive.models.clip import ClipEncoder
from moodarchive.models.torch_compat import import_torchvision_safely
from moodarchive.storage.store import Store
from pipelines.demo.drawn_samples import CELLS
from pipelines.demo.scenes.scene import draw_scene
from tests.making import encoded, sealed_archive
from tests.train.small import small_settings
from train.data.archive import open_archive
from train.evaluation.evaluate import evaluate
from train.evaluation.prompts import TEMPLATES
from train.model.towers import open_towers
from train.published.measure import measure, read_published
from train.saving.checkpoint import Progress
from train.saving.export import export
from train.settings import ModelSettings

pytestmark = pytest.mark.slow
CLASSES = sorted({emotion for emotion, _ in CELLS})


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The demo's small CLIP, stretched to 248 tokens and exported as a trained model is."""
    folder = tmp_path_factory.mktemp("exported")
    start = f"local-dir:{Path(next(iter(pipelines.demo.__path__))) / 'checkpoint'}"
    towers = open_towers(ModelSettings(name=start, pretrained=""))
    export(Store(str(folder)), towers, Progress(step=1, settings={}, seals=["0"]), small_settings(start, folder))
    return f"local-dir:{folder / 'model'}"


@pytest.fixture
def benchmarked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Runs CLIP_benchmark's command line in this process, which may open no connection; gives the metrics."""

    def refuse(*_: object) -> None:
        raise OSError("a connection was asked for")

    def run(model: str, folder: Path, task: str, *more: str) -> dict[str, Any]:
        import_torchvision_safely()
        from clip_benchmark.cli import main

        output = str(folder / "found.json")
        named = ["--model", model, "--pretrained", "", "--dataset", "wds/mine", "--dataset_root", str(folder)]
        plain = ["--task", task, "--no_amp", "--num_workers", "0", "--output", output]
        monkeypatch.setattr(sys, "argv", ["clip_benchmark", "eval", *named, *plain, *more])
        main()
        found: dict[str, Any] = json.loads(Path(output).read_text())["metrics"]
        return found

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return run


def _drawn_set(folder: Path, each: int) -> list[tuple[Path, int]]:
    """Drawn scenes in EmoSet's layout, ``each`` of each emotion; the pictures and their classes.

    Every fourth one shows the next emotion, so that a model that sees well has something wrong.
    """
    told = {"emotion": {"label2idx": {name: place for place, name in enumerate(CLASSES)}}}
    folder.mkdir()
    (folder / "info.json").write_text(json.dumps(told))
    entries, pictures = [], []
    for place, emotion in enumerate(CLASSES):
        for number in range(each):
            shown = CLASSES[(place + (number % 4 == 3)) % len(CLASSES)]
            contexts = [context for own, context in CELLS if own == shown]
            path = folder / "image" / f"{emotion}_{number:05d}.png"
            path.parent.mkdir(exist_ok=True)
            scene = draw_scene(shown, contexts[number % len(contexts)], 700_000 + number, (160, 120))
            path.write_bytes(encoded(scene.image, "PNG"))
            entries.append([emotion, f"image/{path.name}", f"annotation/{path.stem}.json"])
            pictures.append((path, place))
    for split, own in (("train", entries), ("val", []), ("test", [])):
        (folder / f"{split}.json").write_text(json.dumps(own))
    return pictures


def test_its_zero_shot_accuracy_is_ours(
    exported: str, benchmarked: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    pictures = _drawn_set(tmp_path / "set", each=5)
    found = measure(read_published("emoset", tmp_path / "set"), ClipEncoder(model=exported))
    theirs = tmp_path / "theirs"
    (theirs / "test").mkdir(parents=True)
    with tarfile.open(theirs / "test" / "0.tar", "w") as tar:
        for number, (path, place) in enumerate(pictures):
            (tmp_path / "class").write_text(str(place))
            tar.add(path, f"{number:05d}.png")
            tar.add(tmp_path / "class", f"{number:05d}.cls")
    (theirs / "test" / "nshards.txt").write_text("1")
    (theirs / "classnames.txt").write_text("\n".join(CLASSES))
    (theirs / "zeroshot_classification_templates.txt").write_text("\n".join(t.replace("{}", "{c}") for t in TEMPLATES))
    told = benchmarked(exported, theirs, "zeroshot_classification")
    assert 100 * told["acc1"] == pytest.approx(found.figures["top-1"].mean, abs=1e-6)
    assert found.figures["top-1"].chance < found.figures["top-1"].mean < 100


def test_its_recall_on_our_own_shards_is_ours(
    exported: str, benchmarked: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    store = Store(str(tmp_path / "archive"))
    sealed_archive(store)
    archive = open_archive(store.root, ("heldout",))
    found = evaluate(archive, ClipEncoder(model=exported))
    assert found.folds == 1 and len(archive.shards) >= 1
    theirs = tmp_path / "theirs"
    (theirs / "test").mkdir(parents=True)
    for number, shard in enumerate(archive.shards):
        (theirs / "test" / f"{number}.tar").write_bytes(store.read_bytes(shard.tar))
    (theirs / "test" / "nshards.txt").write_text(str(len(archive.shards)))
    (theirs / "dataset_type.txt").write_text("retrieval")
    told = benchmarked(exported, theirs, "zeroshot_retrieval", "--recall_k", "1", "5", "--batch_size", "1")
    for recall in (1, 5):
        assert 100 * told[f"text_retrieval_recall@{recall}"] == pytest.approx(
            found.figures[f"image to text, R@{recall}"].mean
        )
        assert 100 * told[f"image_retrieval_recall@{recall}"] == pytest.approx(
            found.figures[f"text to image, R@{recall}"].mean
        )
