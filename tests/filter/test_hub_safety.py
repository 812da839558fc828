"""Any image classifier of transformers judges safety; here a tiny one of random weights, which proves plumbing only."""

from pathlib import Path

import pytest

from filter.safety import SafetySettings, safety_stage
from moodarchive.errors import ConfigError
from moodarchive.running.stage import run_part
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import IMAGES, SAFETY
from tests.making import encoded, rows_of, textured, write_rows

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


def test_a_model_without_such_labels_is_refused_with_those_it_has(folder: str) -> None:
    stage = safety_stage(SafetySettings(model=folder, unsafe_labels=("nude",)))
    with pytest.raises(ConfigError, match=r"unsafe_labels = .*nude.*choose from drawing, nsfw, porn"):
        stage.make_worker()


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"safety.model = .*nowhere.*remedy"):
        safety_stage(SafetySettings(model=str(tmp_path / "nowhere"))).make_worker()


def test_another_model_makes_the_rows_stale(folder: str) -> None:
    assert safety_stage(SafetySettings(model=folder)).settings != safety_stage(SafetySettings()).settings
