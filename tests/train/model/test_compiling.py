"""Compiled blocks train as plain ones, are compiled a bounded number of times, and leave the same names."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch._inductor import config as inductor

from moodarchive.errors import ConfigError
from moodarchive.models.clip import ClipEncoder
from moodarchive.storage.store import Store
from tests.making import sealed_archive
from tests.train.small import log_of, random_batch, small_model, small_settings, small_stepper, tiny_clip
from train.data.batch import Batch
from train.data.texts import pack_texts
from train.loop import train
from train.model import compiling, packed_text
from train.model.compiling import choose_compiling, compile_blocks


@pytest.mark.parametrize("slices", [1, pytest.param(2, marks=pytest.mark.torture)])
def test_compiled_blocks_give_the_plain_losses_and_serve_texts_of_any_length(slices: int) -> None:
    batches: Sequence[Sequence[Batch]] = [
        [random_batch(9 * step + piece) for piece in range(slices)] for step in range(6)
    ]
    plain, compiled = small_stepper(small_model()), small_stepper(small_model())
    counter = CompileCounterWithBackend("eager")
    compile_blocks(compiled.model, backend=counter)
    for step, pieces in enumerate(batches):
        expected, losses = (stepper(pieces, step, bf16=False) for stepper in (plain, compiled))
        assert {name: float(loss) for name, loss in losses.items()} == pytest.approx(
            {name: float(loss) for name, loss in expected.items()}, rel=1e-5
        )
    # pictures, and texts before and after their attention; with slices once more without gradients
    assert counter.frame_count == 3 * slices
    assert list(compiled.clip.state_dict()) == list(plain.clip.state_dict())


def test_a_gpus_text_blocks_are_compiled_once_for_texts_of_any_number_and_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With torch's own kernel, traced on the device "meta": a machine without a GPU cannot run it."""
    monkeypatch.setattr(packed_text, "has_kernel", lambda *given: True)
    model = small_model().to("meta", torch.bfloat16)
    counter = CompileCounterWithBackend("aot_eager")
    compile_blocks(model, backend=counter)
    for lengths in ([3, 9, 248], [1, 1], [77, 5, 5, 30, 2], [248] * 9):
        texts = pack_texts([[1] * length for length in lengths]).map(lambda tensor: tensor.to("meta"))
        embedded = model.texts(texts)
        assert embedded.shape == (len(lengths), 32)
        embedded.sum().backward()
    assert counter.frame_count == 1


@pytest.mark.parametrize(
    ("wish", "kind", "expected"), [("auto", "cpu", False), ("auto", "cuda", True), (False, "cuda", False)]
)
def test_blocks_are_compiled_by_default_on_a_gpu_with_a_compiler(
    wish: Any, kind: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "check_compiler", lambda device: None)
    assert choose_compiling(wish, torch.device(kind)) is expected

    def fail(device: torch.device) -> None:
        raise ConfigError("none")

    monkeypatch.setattr(compiling, "check_compiler", fail)
    assert choose_compiling(wish, torch.device(kind)) is False
    with pytest.raises(ConfigError, match="none"):
        choose_compiling(True, torch.device(kind))


def test_a_machine_without_compiler_is_told_so_before_the_first_step(tmp_path: Path) -> None:
    root = str(tmp_path / "archive")
    sealed_archive(Store(root))
    settings = small_settings(tiny_clip(tmp_path / "clip"), tmp_path / "out", loop={"compile": True})
    with (
        inductor.patch({"cpp.cxx": (str(tmp_path / "nowhere"),)}),
        pytest.raises(ConfigError, match=r"loop.compile = true, but nothing can be compiled for cpu.*remedy: install"),
    ):
        train(settings, root, lambda report: None)
    assert not list((tmp_path / "out").rglob("*.safetensors"))


@pytest.mark.torture
def test_a_compiled_run_is_killed_goes_on_and_is_exported(tmp_path: Path) -> None:
    root = str(tmp_path / "archive")
    sealed_archive(Store(root))
    model = tiny_clip(tmp_path / "clip")
    plain, killed = tmp_path / "plain", tmp_path / "killed"
    train(small_settings(model, plain), root, lambda report: None)
    settings = small_settings(model, killed, loop={"compile": True})
    killed.mkdir()
    told = killed / "settings.json"
    told.write_text(settings.model_dump_json())
    for stop in ("3", "0"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.train.job", str(told), root, stop],
            check=False,
            capture_output=True,
            text=True,
        )
        assert (done.returncode != 0) == (stop == "3"), done.stderr[-4000:]
    assert [line["keys"] for line in log_of(killed)] == [line["keys"] for line in log_of(plain)]
    losses = [[line["loss"] for line in log_of(output)] for output in (killed, plain)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert ClipEncoder(model=f"local-dir:{killed / 'model'}").texts(["joy"]).shape == (1, 32)
    for weights in ("checkpoints/00000006", "model", "model/hub"):
        assert _names(killed / weights) == _names(plain / weights)


def _names(folder: Path) -> list[str]:
    """Of the tensors in the folder's one file of weights."""
    from safetensors import safe_open

    with safe_open(next(folder.glob("*.safetensors")), "pt") as weights:
        return sorted(weights.keys())
