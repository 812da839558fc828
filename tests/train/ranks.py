"""Runs a function on several ranks of a real gloo process group, each in a process of its own."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch
from torch import distributed, multiprocessing

T = TypeVar("T")


def on_ranks(ranks: int, work: Callable[[int, int], T]) -> list[T]:
    """What ``work(rank, ranks)`` returned on each rank, in order."""
    with TemporaryDirectory() as folder:
        multiprocessing.spawn(_joined, args=(ranks, work, folder), nprocs=ranks)
        return [pickle.loads(Path(folder, str(rank)).read_bytes()) for rank in range(ranks)]  # noqa: S301


def _joined(rank: int, ranks: int, work: Callable[[int, int], T], folder: str) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=ranks)
    try:
        Path(folder, str(rank)).write_bytes(pickle.dumps(work(rank, ranks)))
        distributed.barrier()  # a rank that leaves while another still talks to it may abort that one
    finally:
        distributed.destroy_process_group()
