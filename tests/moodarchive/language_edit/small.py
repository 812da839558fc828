"""A BLIP-2 of random weights, and an editor of it: they prove plumbing and no quality."""

from pathlib import Path

import torch

from moodarchive.language_edit.caption_editor import CaptionEditor, EditorConfig, EditorModel
from moodarchive.language_edit.captioner import Captioner, open_captioner
from pipelines.demo.pairs.drawn_captioner import CaptionerShape, make_captioner

SHAPE = CaptionerShape(
    side=16, patch=8, vision_width=16, vision_layers=1, queries=2, query_width=16, query_layers=1, width=16, layers=4
)
CONFIG = EditorConfig(rank=4, step=0.5)


def small_captioner(folder: Path) -> Captioner:
    """Writes and opens one of four layers, of which three are edited."""
    make_captioner(folder, SHAPE, seed=3)
    return open_captioner(folder)


def trained_editor(captioner: Captioner) -> CaptionEditor:
    """One that has left its beginning, by chance: its zeros are none, and its statistics are those of some rows."""
    torch.manual_seed(1)
    model = EditorModel(captioner, CONFIG)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        for net in model.editor.nets.values():
            net.count.fill_(50.0)
            net.spread.copy_(torch.rand_like(net.spread) + 0.1)
    return CaptionEditor(captioner, model.requires_grad_(False))
