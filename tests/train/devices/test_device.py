"""Each rank computes on a GPU of its own, and what happens to a GPU is told with a remedy."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from moodarchive.errors import ConfigError, StageError
from moodarchive.storage.store import Store
from tests.making import sealed_archive
from tests.train.small import log_of, random_batch, small_model, small_settings, small_stepper, tiny_clip
from train.devices import device as devices
from train.devices.device import choose_device, explain_device_errors
from train.devices.gather import process_group
from train.loop import train
from train.saving.checkpoint import Progress, load_newest, save
from train.step.stepper import Stepper


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A machine of four GPUs on which nothing computes; holds what was made the current device."""
    chosen: list[Any] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    return chosen


@pytest.mark.parametrize("local", range(4))
def test_each_rank_of_a_machine_takes_its_own_gpu(local: int, gpus: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", str(local))
    monkeypatch.setenv("WORLD_SIZE", "8")
    joined: list[tuple[Any, Any]] = []
    monkeypatch.setattr(distributed, "init_process_group", lambda *given, **named: joined.append((given, named)))
    monkeypatch.setattr(distributed, "barrier", lambda: None)
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: None)
    device = choose_device()
    assert device == torch.device("cuda", local)
    assert gpus == [device]
    with process_group(device):
        assert joined == [(("nccl",), {"device_id": device})]


def test_a_rank_that_sees_one_gpu_takes_it(gpus: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert choose_device() == torch.device("cuda", 0)
    assert gpus == [torch.device("cuda", 0)]


def test_more_ranks_than_gpus_are_refused(gpus: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "4")
    with pytest.raises(
        ConfigError, match=r"rank 4 of this machine has no GPU: there are 4; remedy: --nproc-per-node=4"
    ):
        choose_device()
    assert not gpus


def test_a_checkpoint_of_a_gpu_goes_on_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, read = small_stepper(small_model()), small_stepper(small_model())
    written([random_batch(1)], 0, bf16=False)
    store, progress = Store(str(tmp_path)), Progress(step=1, settings={}, seals=[])
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")  # as a GPU's tensors are marked
        save(store, written, progress, [], keep=1)
    with pytest.raises(RuntimeError, match=r"CUDA"):
        torch.load(tmp_path / "checkpoints" / "00000001" / "optimiser.pt", weights_only=True)
    assert load_newest(store, read, progress) is not None
    for one, other in zip(written.clip.parameters(), read.clip.parameters(), strict=True):
        assert torch.equal(one, other)
        for name, value in written.optimiser.state[one].items():
            assert torch.equal(value, read.optimiser.state[other][name])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
            r"2\.00 GiB.*remedy: loop\.activation_checkpoints",
        ),
        (
            torch.AcceleratorError("CUDA error: device lost"),
            r"rank 0: the GPU failed: CUDA error: device lost; remedy: nvi",
        ),
        (
            distributed.DistBackendError("NCCL error"),
            r"the other ranks cannot be reached: NCCL error; remedy: the first",
        ),
    ],
)
def test_a_gpus_error_is_told_with_a_remedy(error: BaseException, words: str) -> None:
    with pytest.raises(StageError, match=words) as raised, explain_device_errors(torch.device("cpu")):
        raise error
    assert "the same command goes on from the last checkpoint" in str(raised.value)


def test_memory_of_a_gpu_is_told_with_its_holders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 30, 80 << 30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 9 << 30)
    words = "the GPU has 80.0 GiB, of which this run holds 9.0 and others 70.0"
    assert devices._memory(torch.device("cuda", 0)) == words


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = Store(str(tmp_path_factory.mktemp("archive")))
    sealed_archive(store)
    return store.root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


def _fail_above(rows: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """No more than so many samples at once fit from now on; returns the sizes that were tried."""
    tried: list[int] = []
    backward = Stepper.backward

    def with_limit(self: Stepper, slices: Any, *, bf16: bool) -> Any:
        tried.append(len(slices[0].pixels))
        if len(slices[0].pixels) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return backward(self, slices, bf16=bf16)

    monkeypatch.setattr(Stepper, "backward", with_limit)
    return tried


def test_a_batch_that_does_not_fit_is_sliced_and_trained(
    root: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(small_settings(model, tmp_path / "whole", data={"epochs": 1}), root, lambda report: None)
    tried = _fail_above(4, monkeypatch)
    train(small_settings(model, tmp_path / "sliced", data={"epochs": 1}), root, lambda report: None)
    assert tried[:4] == [12, 6, 3, 3]
    for sliced, whole in zip(log_of(tmp_path / "sliced"), log_of(tmp_path / "whole"), strict=True):
        assert sliced["keys"] == whole["keys"]
        assert sliced["loss"] == pytest.approx(whole["loss"], rel=1e-3)


def test_a_gpu_that_vanishes_costs_the_steps_since_the_last_checkpoint(
    root: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small_settings(model, tmp_path)
    backward, steps = Stepper.backward, 0

    def until_the_fourth(self: Stepper, slices: Any, *, bf16: bool) -> Any:
        nonlocal steps
        steps += 1
        if steps == 4:
            raise torch.AcceleratorError("CUDA error: unspecified launch failure")
        return backward(self, slices, bf16=bf16)

    with monkeypatch.context() as patch:
        patch.setattr(Stepper, "backward", until_the_fourth)
        with pytest.raises(StageError, match=r"the GPU failed.*remedy"):
            train(settings, root, lambda report: None)
    assert [line["step"] for line in log_of(tmp_path)] == [1, 2]
    train(settings, root, lambda report: None)
    assert [line["step"] for line in log_of(tmp_path)] == list(range(1, len(log_of(tmp_path)) + 1))


@pytest.mark.parametrize("slices", [1, 2])
def test_a_step_in_bfloat16_follows_the_one_in_float32(slices: int) -> None:
    exact, half = small_stepper(small_model()), small_stepper(small_model())
    for step in range(3):
        batches = [random_batch(7 + step)] * slices
        expected, rounded = exact(batches, step, bf16=False), half(batches, step, bf16=True)
        for name, loss in expected.items():
            assert float(rounded[name]) == pytest.approx(float(loss), rel=0.03, abs=0.03), name


def test_a_loss_that_is_not_finite_changes_no_weight() -> None:
    stepper = small_stepper(small_model())
    stepper([random_batch(1)], 0, bf16=False)
    before = {name: tensor.clone() for name, tensor in stepper.clip.state_dict().items()}
    state = [float(state["step"]) for state in stepper.optimiser.state.values()]
    stepper.backward([random_batch(2)], bf16=False)
    for parameter in stepper.clip.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))
    stepper.update(1, torch.tensor(False))
    assert all(torch.equal(tensor, before[name]) for name, tensor in stepper.clip.state_dict().items())
    assert [float(state["step"]) for state in stepper.optimiser.state.values()] == state
    stepper([random_batch(2)], 1, bf16=False)
    assert not torch.equal(stepper.clip.state_dict()["ln_final.bias"], before["ln_final.bias"])
