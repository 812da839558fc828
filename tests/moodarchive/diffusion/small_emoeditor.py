"""A small EmoEditor of random weights, as training exports one: it proves plumbing and no quality."""

import shutil
from pathlib import Path

import torch

from moodarchive.diffusion.emotion import Condition, EmotionEncoder, EncoderConfig
from moodarchive.diffusion.predictor import Architecture, make_predictor
from moodarchive.emotions.taxonomy import MIKELS_EIGHT
from tests.editor.small_models import WIDTH

PREDICTOR = Architecture(hidden_sizes=(8, 16), depths=(1, 1), embedding_size=8, side=32)
HIDDEN = (16, 24, 32)


def small_emoeditor(folder: Path, instruct: str, condition: Condition = "direction", seed: int = 3) -> Path:
    """An InstructPix2Pix of ``instruct`` with an encoder and a predictor beside it."""
    shutil.copytree(instruct, folder)
    torch.manual_seed(seed)
    told = tuple((f"make it {name}", f"let it evoke {name}") for name in MIKELS_EIGHT) if condition == "text" else ()
    EmotionEncoder(EncoderConfig(width=WIDTH, hidden=HIDDEN, condition=condition, instructions=told)).save(folder)
    make_predictor(PREDICTOR, seed).save(folder / "predictor")
    return folder
