"""What only a GPU can show: the kernel for packed texts, steps that never wait, checkpoints that leave the GPU."""

from pathlib import Path
from typing import Any

import pytest
import torch

from moodarchive.storage.store import Store
from tests.train.small import random_batch, small_model, small_stepper
from train.data.batch import Batch
from train.data.feed import Feeder
from train.data.samples import Sample, collate
from train.data.texts import pack_texts
from train.model import packed_text
from train.model.compiling import choose_compiling, compile_blocks, compile_potential
from train.saving.checkpoint import Progress, copy_state, load_newest, save

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
]
CUDA = torch.device("cuda", 0)


def test_the_kernel_gives_the_embeddings_and_gradients_of_the_cpu() -> None:
    texts = [[1 + number] * length for number, length in enumerate([1, 2, 20, 77, 248, 248])]
    exact, on_gpu = small_model(), small_model().to(CUDA)
    packed = pack_texts(texts)
    expected = exact.texts(packed)
    with torch.autocast("cuda", torch.bfloat16):
        embedded = on_gpu.texts(packed.map(lambda tensor: tensor.to(CUDA)))
        assert packed_text.has_kernel(embedded, 32)
    assert torch.cosine_similarity(embedded.float().cpu(), expected).min() > 0.999
    for one in (expected, embedded):
        (one * torch.linspace(-1, 1, one.numel(), device=one.device).reshape(one.shape)).sum().backward()
    for name in ("transformer.resblocks.0.attn.in_proj_weight", "ln_final.weight"):
        gradients = [model.clip.get_parameter(name).grad for model in (exact, on_gpu)]
        assert gradients[0] is not None and gradients[1] is not None
        assert torch.cosine_similarity(gradients[0].flatten(), gradients[1].cpu().flatten(), dim=0) > 0.99


@pytest.mark.parametrize("compiled", [False, True])
def test_a_step_never_waits_for_the_gpu(compiled: bool) -> None:
    if compiled and not choose_compiling("auto", CUDA):
        pytest.skip("no compiler")
    stepper = small_stepper(small_model().to(CUDA))
    if compiled:
        compile_blocks(stepper.model)  # type: ignore[arg-type]
        stepper.find_potential = compile_potential()
    batches = [random_batch(seed).on(CUDA) for seed in range(4)]
    for batch in batches[:2]:
        stepper([batch], 0, bf16=True)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        losses = [stepper([batch], 1, bf16=True)["loss"] for batch in batches]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(torch.stack(losses)).all()


def test_a_feeder_brings_what_was_collated_and_neither_it_nor_the_step_waits() -> None:
    def samples(number: int) -> list[Sample]:
        pixels = torch.full((32, 32, 3), number, dtype=torch.uint8)
        return [
            Sample(f"{number}-{row}", [1, number, 2], [1, 2], ([1, 2], [1, 2]), [[1, row, 2]], (), pixels)
            for row in range(4)
        ]

    def collate_whole(batch: Any) -> list[Batch]:
        return [collate(batch)]

    stepper = small_stepper(small_model().to(CUDA))
    stepper([random_batch(1).on(CUDA)], 0, bf16=True)
    torch.cuda.synchronize()
    with Feeder(iter([samples(number) for number in range(6)]), collate_whole, CUDA, ahead=True) as feeder:
        kept = []
        torch.cuda.set_sync_debug_mode("error")
        try:
            for batch in feeder:
                kept.append(batch.slices[0])
                stepper(batch.slices, 1, bf16=True)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    for number, piece in enumerate(kept):
        expected = collate(samples(number))
        assert torch.equal(piece.pixels.cpu(), expected.pixels)
        assert torch.equal(piece.texts.tokens.cpu(), expected.texts.tokens)


def test_a_state_that_is_copied_aside_is_of_its_own_step() -> None:
    stepper = small_stepper(small_model().to(CUDA))
    stepper([random_batch(1).on(CUDA)], 0, bf16=True)
    expected = {name: tensor.cpu().clone() for name, tensor in stepper.clip.state_dict().items()}
    state = copy_state(stepper)
    stepper([random_batch(2).on(CUDA)], 1, bf16=True)
    assert state.copied is not None
    state.copied.synchronize()
    assert all(torch.equal(state.weights[name], tensor) for name, tensor in expected.items())
    assert all(tensor.is_pinned() for tensor in state.weights.values())


def test_the_memory_of_a_step_is_measured_and_the_rehearsal_changes_nothing() -> None:
    stepper = small_stepper(small_model().to(CUDA))
    before = {name: tensor.clone() for name, tensor in stepper.clip.state_dict().items()}
    peaks = []
    for rows in (8, 64):
        torch.cuda.reset_peak_memory_stats()
        stepper.rehearse([random_batch(1, rows).on(CUDA)], bf16=True)
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[0] < peaks[1]
    assert all(torch.equal(before[name], tensor) for name, tensor in stepper.clip.state_dict().items())


def test_a_step_follows_the_cpus_in_float32() -> None:
    exact, on_gpu = small_stepper(small_model()), small_stepper(small_model().to(CUDA))
    for step in range(3):
        batch = random_batch(step)
        expected, losses = exact([batch], step, bf16=False), on_gpu([batch.on(CUDA)], step, bf16=False)
        for name, loss in expected.items():
            assert float(losses[name]) == pytest.approx(float(loss), rel=1e-3), name


def test_a_checkpoint_of_the_gpu_goes_on_on_the_cpu_and_back(tmp_path: Path) -> None:
    on_gpu, on_cpu = small_stepper(small_model().to(CUDA)), small_stepper(small_model())
    on_gpu([random_batch(1).on(CUDA)], 0, bf16=True)
    store, progress = Store(str(tmp_path)), Progress(step=1, settings={}, seals=[])
    save(store, on_gpu, progress, [], keep=1)
    assert load_newest(store, on_cpu, progress) is not None
    for one, other in zip(on_gpu.clip.parameters(), on_cpu.clip.parameters(), strict=True):
        assert torch.equal(one.cpu(), other)
    on_cpu([random_batch(2)], 1, bf16=False)
    assert load_newest(store, on_gpu, progress) is not None
    on_gpu([random_batch(2).on(CUDA)], 1, bf16=True)
