"""The packed text tower gives what open_clip's own gives for padded texts, its gradients included."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.train.small import random_batch, small_model, small_stepper
from train.data.texts import pack_texts
from train.model import packed_text
from train.model.moodify_clip import MoodifyClip


def _lengths(seed: int) -> list[int]:
    """Of up to twelve texts, from one token to the whole context, some of them equal."""
    random = np.random.default_rng(seed)
    drawn = random.integers(1, 248, random.integers(1, 12), endpoint=True)
    return [int(length) for length in np.where(random.random(len(drawn)) < 0.4, random.choice([1, 2, 248]), drawn)]


def _texts(lengths: list[int], seed: int) -> list[list[int]]:
    """Texts that end with the end-of-text mark, which open_clip looks for."""
    random = torch.Generator().manual_seed(seed)
    return [[*torch.randint(1, 49406, (length - 1,), generator=random).tolist(), 49407] for length in lengths]


def _padded(model: MoodifyClip, texts: list[list[int]]) -> Tensor:
    tokens = torch.zeros(len(texts), 248, dtype=torch.long)
    for row, text in enumerate(texts):
        tokens[row, : len(text)] = torch.tensor(text)
    embedded: Tensor = model.clip.encode_text(tokens, normalize=True)
    return embedded


def _gradients(model: MoodifyClip, embedded: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    weights = torch.linspace(-1, 1, embedded.numel()).reshape(embedded.shape)
    (embedded * weights).sum().backward()
    return {name: p.grad.clone() for name, p in model.clip.named_parameters() if p.grad is not None}


@pytest.fixture(scope="module")
def model() -> MoodifyClip:
    return small_model()


@pytest.mark.parametrize("seed", range(8))
def test_packed_texts_equal_padded_ones(model: MoodifyClip, seed: int) -> None:
    texts = _texts(_lengths(seed), seed)
    with torch.inference_mode():
        assert (model.texts(pack_texts(texts)) - _padded(model, texts)).abs().max() < 1e-5


@pytest.mark.parametrize("seed", range(20, 24))
def test_packed_texts_have_the_gradients_of_padded_ones(model: MoodifyClip, seed: int) -> None:
    texts = _texts(_lengths(seed), seed)
    packed = _gradients(model, model.texts(pack_texts(texts)))
    padded = _gradients(model, _padded(model, texts))
    assert packed.keys() == padded.keys()
    for name, expected in padded.items():
        assert (packed[name] - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max())), name


def test_no_text_changes_another(model: MoodifyClip) -> None:
    texts = _texts([1, 5, 5, 30, 248], 1)
    with torch.inference_mode():
        together = model.texts(pack_texts(texts))
        changed = model.texts(pack_texts([*texts[:-1], texts[-1][::-1]]))
    assert (together - changed).abs()[:-1].max() < 1e-6
    assert (together - changed).abs()[-1].max() > 1e-3


class _Kernel:
    """Stands in for torch's kernel of a GPU: the same call, computed text by text on the CPU."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def __call__(  # noqa: PLR0917
        self, query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor, max_q: int, max_k: int,
        *, window_size: tuple[int, int] = (-1, -1),
    ) -> Tensor:  # fmt: skip
        assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
        asking, lengths = cu_seq_q.diff().tolist(), cu_seq_k.diff().tolist()
        assert max(asking) <= max_q and max(lengths) <= max_k
        causal = window_size == (-1, 0)
        assert asking == (lengths if causal else [1] * len(lengths))
        self.calls.append((len(lengths), len(query)))
        attended = [
            torch.nn.functional.scaled_dot_product_attention(*(t.transpose(0, 1) for t in parts), is_causal=causal)
            for parts in zip(query.split(asking), key.split(lengths), value.split(lengths), strict=True)
        ]
        return torch.cat([part.transpose(0, 1) for part in attended])


def test_the_kernel_of_a_gpu_is_called_once_a_block_with_all_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = _Kernel()
    monkeypatch.setattr(packed_text, "_varlen", lambda: kernel)
    monkeypatch.setattr(packed_text, "has_kernel", lambda *given: True)
    model, plain = small_model(), small_model()
    texts = _texts([1, 9, 248, 9, 77], 2)
    with torch.inference_mode():
        by_kernel = model.texts(pack_texts(texts))
        assert (by_kernel - _padded(plain, texts)).abs().max() < 1e-5
    assert kernel.calls == [(5, 344), (5, 5)]  # of the last block each text's last token alone


class _OneDevice(TorchDispatchMode):
    """Refuses an operation on tensors of several devices, as a GPU would; numbers in a tensor may come from the CPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor) and one.ndim]
        devices = {one.device.type for one in tensors}
        assert len(devices) < 2, f"{func} on {devices}"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("checkpoints", [False, True])
def test_a_whole_step_mixes_no_devices_and_reads_no_value(checkpoints: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU: on the device "meta", whose tensors have no values that could be read."""
    monkeypatch.setattr(packed_text, "has_kernel", lambda *given: True)
    monkeypatch.setattr(torch, "autocast", lambda *given, **named: nullcontext())
    model = small_model().to("meta", torch.bfloat16)
    model.clip.set_grad_checkpointing(checkpoints)
    stepper = small_stepper(model)
    batch = random_batch(3).on(torch.device("meta"))
    for slices in ([batch], [batch, batch]):
        with _OneDevice():
            losses = stepper.backward(slices, bf16=True)
        assert {loss.device.type for loss in losses.values()} == {"meta"}
        assert all(p.grad is not None and p.grad.is_meta for p in model.parameters())


def test_the_guards_of_a_whole_step_do_refuse() -> None:
    batch = random_batch(3)
    away = batch.on(torch.device("meta"))
    with pytest.raises(RuntimeError, match=r"meta"):
        away.present.any().item()
    with pytest.raises(AssertionError, match=r"on \{"), _OneDevice():
        torch.nn.functional.embedding(away.texts.tokens, torch.ones(49408, 2))
