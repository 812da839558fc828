"""Lets vLLM's processes import a torchvision built for CUDA beside a torch without it; put on PYTHONPATH by the tests.

The same remedy as moodarchive.models.torch_compat, which is not importable where vLLM has an environment of its own.
"""

import sys

import torch

if not torch.version.cuda:
    for hidden in ("torchaudio", "torchcodec"):
        sys.modules.setdefault(hidden, None)  # type: ignore[arg-type]
    _library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        _library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
