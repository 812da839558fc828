"""A model's pass, recorded once for each shape and replayed: on a GPU as a CUDA graph.

A UNet of Stable Diffusion's size starts some thousand small kernels a pass; at the few rows of an edit the processor
takes longer to start them than the GPU to run them. The text tower and the autoencoder are recorded in the same way.
"""

import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

Work = Callable[[Mapping[str, Tensor]], Tensor]


class Recording(Protocol):
    """Work that was recorded with its inputs' memory; ``run`` does it anew on what that memory holds now."""

    output: Tensor

    def run(self) -> None: ...


Recorder = Callable[[Callable[[], Tensor]], Recording]


@dataclass(frozen=True)
class _Recorded:
    recording: Recording
    inputs: Mapping[str, Tensor]


class Replayed:
    """``work`` of named tensors, recorded at the first call of each key and shapes; the result is the caller's own.

    ``key`` names all else that the work depends on. What was used longest ago is forgotten beyond ``most`` recordings,
    because each holds memory. Where work cannot be recorded it is done as it is, after a warning.
    """

    def __init__(self, work: Work, record: Recorder, most: int = 8) -> None:
        self._work, self._record, self._most = work, record, most
        self._recorded: OrderedDict[Hashable, _Recorded] = OrderedDict()
        self._can_record = True

    def __call__(self, key: Hashable, inputs: Mapping[str, Tensor]) -> Tensor:
        shapes = tuple((name, tuple(tensor.shape), tensor.dtype) for name, tensor in sorted(inputs.items()))
        recorded = self._recorded.get((key, shapes))
        if not self._can_record:
            return self._work(inputs)
        if recorded is None:
            held = {name: tensor.clone() for name, tensor in inputs.items()}
            try:
                recorded = _Recorded(self._record(lambda: self._work(held)), held)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self._can_record = False
                warnings.warn(f"passes cannot be recorded here, and run one by one: {error}", stacklevel=2)
                return self._work(inputs)
            self._recorded[key, shapes] = recorded
            while len(self._recorded) > self._most:
                self._recorded.popitem(last=False)
        self._recorded.move_to_end((key, shapes))
        for name, tensor in inputs.items():
            recorded.inputs[name].copy_(tensor)
        recorded.recording.run()
        return recorded.recording.output.clone()


def replay(work: Work, record: Recorder | None) -> Callable[[Hashable, Mapping[str, Tensor]], Tensor]:
    """``work`` as ``Replayed`` does it; without a recorder, as it is."""
    return Replayed(work, record) if record else lambda _, inputs: work(inputs)


class CudaGraphs:
    """Records CUDA graphs, all in one pool of memory: they never run at the same time, and results are copied out."""

    WARM_UP = 2
    """Passes before the recording, in which libraries choose their kernels and take their workspaces."""

    def __init__(self) -> None:
        self._pool: Any = torch.cuda.graph_pool_handle()

    def __call__(self, work: Callable[[], Tensor]) -> Recording:
        stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(self.WARM_UP):
                work()
        torch.cuda.current_stream().wait_stream(stream)
        graph: Any = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            output = work()
        return _CudaGraph(graph, output)


@dataclass
class _CudaGraph:
    graph: Any
    output: Tensor

    def run(self) -> None:
        self.graph.replay()


def recorder_for(device: torch.device, setting: str) -> Recorder | None:
    """What records on this device; None where passes are run as they are."""
    if setting == "off" or device.type != "cuda":
        return None
    return CudaGraphs()
