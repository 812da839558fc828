"""Small models of random weights under the names by which the pages call them: they prove plumbing and no quality."""

import shutil
from pathlib import Path

import torch

from moodarchive.diffusion.predictor import make_predictor
from moodarchive.language_edit.caption_editor import EditorModel, save_caption_editor
from pipelines.demo.bundled_base import prepare_bundled_base
from pipelines.editing.sets.emopair.build import build_pairs
from pipelines.editing.sets.emopair.settings import PairSettings
from tests.editor.small_models import small_base, small_moodify
from tests.moodarchive.diffusion.small_emoeditor import PREDICTOR, small_emoeditor
from tests.moodarchive.diffusion.small_epem import small_blip2, small_epem
from tests.moodarchive.language_edit.small import small_captioner, trained_editor
from train.emoeditor.model import Frozen, export, make_model
from train.emoeditor.pairs import SealedPairs
from train.emoeditor.settings import EmoEditorSettings


def make_moodify_clip(runs: Path, workshop: Path) -> None:
    """runs/archive/model, as training exports it."""
    shutil.copytree(small_moodify(workshop / "moodify"), runs / "archive" / "model")


def make_editors(runs: Path, workshop: Path) -> None:
    """runs/emoeditor/model, runs/epem/model and runs/caption-editor/model."""
    small_emoeditor(runs / "emoeditor" / "model", small_base(workshop / "instruct", channels=8, cell=32))
    blip2 = small_blip2(workshop / "blip2")
    small_epem(runs / "epem" / "model", small_base(workshop / "base", cell=32), blip2)
    captioner = small_captioner(workshop / "captioner")
    editor = trained_editor(captioner)
    assert isinstance(editor.model, EditorModel)
    save_caption_editor(runs / "caption-editor" / "model", editor.model, workshop / "captioner")


def make_demo_learnt_from(runs: Path) -> None:
    """runs/demo-predictor/model and runs/drawn-pairs: what an EmoEditor on the demo's base is trained with."""
    make_predictor(PREDICTOR, 3).save(runs / "demo-predictor" / "model")
    source = {"kind": "drawn", "count": 24, "size": 64}
    build_pairs(PairSettings.model_validate({"sources": [source]}), str(runs / "drawn-pairs"), on_ray=False)


def make_demo_emoeditor(runs: Path) -> None:
    """runs/demo-emoeditor/model: an EmoEditor on the demo's base that has learnt nothing yet."""
    settings = EmoEditorSettings(
        output=str(runs / "demo-emoeditor"),
        pairs=str(runs / "drawn-pairs"),
        base=str(prepare_bundled_base().base),
        predictor=str(runs / "demo-predictor" / "model"),
        hidden=(8,),
        size=64,
    )
    frozen = Frozen(settings, torch.device("cpu"))
    model = make_model(settings, frozen, SealedPairs(settings.pairs, sets=settings.sets, size=settings.size))
    export(runs / "demo-emoeditor" / "model", model, frozen, ["untrained"])
