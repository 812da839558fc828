"""Lets a torchvision wheel built for CUDA be imported beside a torch without it."""

import sys
from typing import Any

_DEFINED: list[Any] = []


def import_torchvision_safely() -> None:
    """Call before the first import of torchvision, or of open_clip, which imports it; safe to call again.

    The registry's torchvision registers its operators from a CUDA library that fails to load beside a CPU torch, and
    then dies on the two schemas that its Python side expects. Defining them is enough: nothing here calls them.
    torchaudio and torchcodec have the same fault and are optional everywhere, so they are hidden.
    """
    import torch

    if _DEFINED or torch.cuda.is_available() or torch.version.cuda:
        return
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    _DEFINED.append(library)
    for module in ("torchaudio", "torchcodec"):
        sys.modules.setdefault(module, None)  # type: ignore[arg-type]
