"""The estimate of a step's operations is what torch counts."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from moodarchive.models.torch_compat import import_torchvision_safely
from tests.train.small import CONFIG, PREPROCESS
from train.data.batch import Batch, Reads
from train.data.texts import pack_texts
from train.devices import flops
from train.model.moodify_clip import MoodifyClip


@pytest.mark.parametrize("fine", [True, False])
def test_the_estimate_is_what_torch_counts(fine: bool) -> None:
    import_torchvision_safely()
    import open_clip

    model = MoodifyClip(open_clip.CLIP(**CONFIG), PREPROCESS, Reads(short=False, fine=fine))
    texts = pack_texts([[1] * length for length in (70, 40, 44, *([11] * 9 if fine else []))])
    batch = Batch(torch.zeros(3, 32, 32, 3, dtype=torch.uint8), texts, torch.ones(3, 3, dtype=torch.bool))
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        found = model(batch)
        read = [found.images, found.full, *([found.patches, found.stimuli] if fine else [])]
        torch.stack([one.sum() for one in read]).sum().backward()
    estimate = flops.step_flops(CONFIG, 3, texts.runs, fine=fine)
    assert estimate == pytest.approx(counter.get_total_flops(), rel=1e-6)


def test_a_resnet_and_an_unknown_device_have_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    resnet = {**CONFIG, "vision_cfg": {"layers": [3, 4, 6, 3], "width": 64, "image_size": 224}}
    assert flops.step_flops(resnet, 1, [(1, 77)], fine=True) is None
    assert flops.peak(torch.device("cpu"), bf16=True) is None
    cuda = torch.device("cuda", 0)
    for name, expected in (("NVIDIA H200", 989e12), ("NVIDIA H100 PCIe", None), ("Some other card", None)):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device, name=name: name)
        assert flops.peak(cuda, bf16=True) == expected
        assert flops.peak(cuda, bf16=False) is None
