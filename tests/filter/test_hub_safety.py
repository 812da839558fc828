"""Any image classifier of transformers judges safety; here a tiny one of random weights, which proves plumbing only."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from filter.hub_safety import HubClassifier
from filter.safety import SafetySettings, safety_stage
from moodarchive.errors import ConfigError, StageError
from moodarchive.running.stage import run_part
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import IMAGES, SAFETY
from tests.making import encoded, rows_of, textured, write_rows
from tests.moodarchive.models.fake_gpu import fake_gpu

pytest.importorskip("transformers", reason="the extra hub is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    import torch

    from moodarchive.models.torch_compat import import_torchvision_safely

    import_torchvision_safely()
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=16,
        id2label={0: "Drawing", 1: "NSFW", 2: "Porn"}, label2id={"Drawing": 0, "NSFW": 1, "Porn": 2},
    )  # fmt: skip
    where = str(tmp_path_factory.mktemp("hub") / "tiny")
    ViTForImageClassification(config).save_pretrained(where)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(where)
    return where


def _scores(store: Store, settings: SafetySettings) -> list[tuple[float | None, str | None, str]]:
    rows = [
        {"key": f"{n:016x}", "bytes": encoded(textured(seed=n)), "status": "ok"}
        if n != 3
        else {"key": f"{n:016x}", "status": "failed", "error": "http_404"}
        for n in range(20)
    ]
    write_rows(store, IMAGES, 0, rows)
    stage = safety_stage(settings)
    run_part(stage, store, stage.make_worker(), 0)
    return [(row["nsfw"], row["verdict"], row["status"]) for row in rows_of(store, SAFETY, 0)]


def test_the_unsafe_labels_together_are_the_probability(store: Store, folder: str) -> None:
    both = _scores(store, SafetySettings(model=folder, threshold=0.5))
    one = _scores(store, SafetySettings(model=folder, unsafe_labels=("nsfw",)))
    other = _scores(store, SafetySettings(model=folder, unsafe_labels=("porn", "not there")))
    assert both[3] == (None, None, "skipped")
    for (p, verdict, status), (q, *_), (r, *_) in zip(both[:3], one[:3], other[:3], strict=True):
        assert p is not None and q is not None and r is not None
        assert status == "ok" and 0 < q < p < 1 and p == pytest.approx(q + r, abs=1e-4)
        assert verdict == ("unsafe" if p >= 0.5 else "safe")
    assert len({p for p, *_ in both}) > 2


def test_a_pictures_value_does_not_depend_on_those_beside_it(folder: str) -> None:
    classifier, pictures = HubClassifier(folder, ("nsfw",), rows=4), [textured(seed=seed) for seed in range(9)]
    together = classifier.unsafe(pictures)
    assert len(set(together)) == 9 and classifier.unsafe([]) == []
    for size in range(1, 9):
        assert classifier.unsafe(pictures[:size]) == together[:size]
        assert classifier.unsafe(pictures[size:]) == together[size:]
    assert classifier.unsafe(pictures[::-1]) == together[::-1]


def test_on_a_gpu_all_that_meets_the_classifier_is_there(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    classifier = HubClassifier(folder, ("nsfw",), rows=4)
    _, network, indices, _ = classifier._loaded

    def processor(images: list[Image.Image], **_: object) -> dict[str, torch.Tensor]:
        return {"pixel_values": torch.from_numpy(np.zeros((len(images), 3, 32, 32), np.float32))}

    with fake_gpu(monkeypatch, network) as device:
        classifier.__dict__["_loaded"] = (processor, network, indices, device)
        assert len(classifier.unsafe([textured(seed=1)])) == 1
        classifier.__dict__["_loaded"] = (processor, network, indices, torch.device("cpu"))
        with pytest.raises(RuntimeError, match=r"at least two devices"):
            classifier.unsafe([textured(seed=1)])


def test_a_gpu_that_is_full_or_lost_ends_with_a_remedy(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    classifier = HubClassifier(folder, ("nsfw",))
    error: Exception = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    def fails(*_: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(classifier._loaded[1], "forward", fails)
    with pytest.raises(StageError, match=r"no room for a batch of 16 pictures.*remedy: safety\.gpus_per_worker = 0"):
        classifier.unsafe([textured(seed=1)])
    error = torch.AcceleratorError("CUDA error: unspecified launch failure")
    with pytest.raises(StageError, match=r"the GPU failed during a batch.*remedy.*is kept"):
        classifier.unsafe([textured(seed=1)])


def test_a_model_without_such_labels_is_refused_with_those_it_has(folder: str) -> None:
    stage = safety_stage(SafetySettings(model=folder, unsafe_labels=("nude",)))
    with pytest.raises(ConfigError, match=r"unsafe_labels = .*nude.*choose from drawing, nsfw, porn"):
        stage.make_worker()


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"safety.model = .*nowhere.*remedy"):
        safety_stage(SafetySettings(model=str(tmp_path / "nowhere"))).make_worker()


def test_another_model_makes_the_rows_stale(folder: str) -> None:
    assert safety_stage(SafetySettings(model=folder)).settings != safety_stage(SafetySettings()).settings
