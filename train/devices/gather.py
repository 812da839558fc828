"""What the ranks of one training job know of each other: gathered tensors with gradient, and global means."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed

_rehearsed_ranks: int | None = None
"""Set while this rank computes alone; not of a context: a GPU's backward pass runs in threads of its own"""


def world_size() -> int:
    """Ranks of the job; 1 without a process group."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


@contextmanager
def without_other_ranks() -> Iterator[None]:
    """Nobody is met: this rank's rows stand in for the others', so that all has the size that it has among them."""
    global _rehearsed_ranks  # noqa: PLW0603
    _rehearsed_ranks = world_size()
    try:
        yield
    finally:
        _rehearsed_ranks = None


def rank() -> int:
    """This process among the ranks."""
    return distributed.get_rank() if distributed.is_initialized() else 0


class _Gather(torch.autograd.Function):
    """[n, ...] of each rank becomes [ranks x n, ...] in rank order; the gradient of every rank's use flows back."""

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        if _rehearsed_ranks is None:
            everyone = [torch.empty_like(local) for _ in range(world_size())]
            distributed.all_gather(everyone, local.contiguous())
        else:
            everyone = [local] * _rehearsed_ranks
        ctx.rows = local.shape[0]
        return torch.cat(everyone)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        if _rehearsed_ranks is None:
            distributed.all_reduce(total)
        return total.narrow(0, rank() * ctx.rows, ctx.rows)


def gather_rows(local: Tensor) -> Tensor:
    """All ranks' rows in rank order, with gradient; every rank must bring equally many."""
    return local if world_size() == 1 else _Gather.apply(local)  # type: ignore[no-untyped-call]


def gather_mask(local: Tensor) -> Tensor:
    """All ranks' booleans in rank order."""
    return local if world_size() == 1 else _Gather.apply(local.to(torch.uint8)).bool()  # type: ignore[no-untyped-call]


def global_mean(values: Tensor, valid: Tensor | None = None) -> Tensor:
    """The mean over all ranks' valid values, scaled so that the mean of the ranks' gradients is its gradient.

    On each rank it is ranks x (local sum) / (global count): averaging gradients over ranks, as DistributedDataParallel
    does, then gives the gradient of the joined batch's mean. 0 where nothing is valid.
    """
    valid = torch.ones_like(values, dtype=torch.bool) if valid is None else valid
    count = valid.sum().to(values.dtype)
    sum_over_ranks(count)
    local = torch.where(valid, values, torch.zeros_like(values)).sum()
    return local * world_size() / count.clamp(min=1)


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Joins torchrun's ranks; a process alone, or one whose ranks have met already, joins nothing."""
    if "WORLD_SIZE" not in os.environ or distributed.is_initialized():
        yield
        return
    if device.type == "cuda":
        distributed.init_process_group("nccl", device_id=device)
    else:
        distributed.init_process_group("gloo")
    try:
        yield
        distributed.barrier()  # a rank that leaves while another still talks to it may abort that one
    finally:
        distributed.destroy_process_group()


def sum_over_ranks(values: Tensor) -> Tensor:
    """Added up, on the device where they are; without gradient."""
    if world_size() > 1 and _rehearsed_ranks is None:
        distributed.all_reduce(values)
    return values


def max_over_ranks(value: int, device: torch.device) -> int:
    """The largest; every rank must bring one, and waits for it."""
    if world_size() == 1:
        return value
    largest = torch.tensor(value, device=device)
    distributed.all_reduce(largest, distributed.ReduceOp.MAX)
    return int(largest)
