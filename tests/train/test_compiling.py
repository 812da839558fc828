"""Compiled blocks train as plain ones, are compiled a bounded number of times, and leave the same names."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from torch._dynamo.testing import CompileCounterWithBackend
from torch._inductor import config as inductor

from moodarchive.errors import ConfigError
from moodarchive.models.clip import ClipEncoder
from moodarchive.storage.store import Store
from tests.making import sealed_archive
from tests.train.small import log_of, random_batch, small_model, small_settings, small_stepper, tiny_clip
from train.compiling import compile_blocks
from train.loop import train
from train.model import Batch


@pytest.mark.parametrize("slices", [1, pytest.param(2, marks=pytest.mark.torture)])
def test_compiled_blocks_give_the_plain_losses_and_serve_texts_of_any_length(slices: int) -> None:
    batches: Sequence[Sequence[Batch]] = [
        [random_batch(9 * step + piece) for piece in range(slices)] for step in range(6)
    ]
    plain, compiled = small_stepper(small_model()), small_stepper(small_model())
    counter = CompileCounterWithBackend("eager")
    compile_blocks(compiled.clip, backend=counter)
    for step, pieces in enumerate(batches):
        expected, found = (stepper(pieces, step, bf16=False) for stepper in (plain, compiled))
        assert found == pytest.approx(expected, rel=1e-5)
    # pictures, texts, and a group of one text; with slices once more without gradients
    assert 2 <= counter.frame_count <= 3 * slices
    assert list(compiled.clip.state_dict()) == list(plain.clip.state_dict())


def test_a_machine_without_compiler_is_told_so_before_the_first_step(tmp_path: Path) -> None:
    root = str(tmp_path / "archive")
    sealed_archive(Store(root))
    settings = small_settings(tiny_clip(tmp_path / "clip"), tmp_path / "out", loop={"compile": True})
    with (
        inductor.patch({"cpp.cxx": (str(tmp_path / "nowhere"),)}),
        pytest.raises(ConfigError, match=r"loop.compile = true, but nothing can be compiled for cpu.*remedy: install"),
    ):
        train(settings, root, lambda report: None)
    assert not (tmp_path / "out" / "checkpoints").exists()


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
