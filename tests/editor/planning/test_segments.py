"""A detector and a segmenter make a region of words; the small models are of the real classes with random weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from editor.edit import Mask
from editor.planning.plan import FACES, SEGMENTS, SERVED, EditRequest, Planner
from editor.planning.segments import HOLE, TextToMask, fill_holes
from editor.planning.served import ServedPlanner
from editor.tools import Tools, make_editor
from moodarchive.errors import EditError, MissingWeightsError
from moodarchive.models.torch_compat import import_torchvision_safely
from tests.editor.plan_server import plan_server
from tests.making import textured

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "the", "grey", "sky", "a", "bird"]


def _small_detector(folder: Path) -> str:
    import_torchvision_safely()
    from transformers import (
        BertTokenizerFast,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    sizes: dict[str, Any] = {"shortest_edge": 96, "longest_edge": 128}
    GroundingDinoProcessor(GroundingDinoImageProcessor(size=sizes), tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=128, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=2,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config={
            "model_type": "bert", "vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 64,
        },
        d_model=32, encoder_layers=1, encoder_ffn_dim=16, encoder_attention_heads=2, decoder_layers=2,
        decoder_ffn_dim=16, decoder_attention_heads=2, num_queries=6, num_feature_levels=4, max_text_len=16,
        disable_custom_kernels=True,
    )  # fmt: skip
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    return str(folder)


def _small_segmenter(folder: Path) -> str:
    from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor

    torch.manual_seed(0)
    SamProcessor(
        SamImageProcessor(
            size={"longest_edge": 64}, pad_size={"height": 64, "width": 64}, mask_size={"longest_edge": 16}
        )
    ).save_pretrained(folder)
    config = SamConfig(
        vision_config={
            "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 64, "patch_size": 16,
            "output_channels": 16, "mlp_dim": 16, "window_size": 0, "global_attn_indexes": [0], "num_pos_feats": 8,
        },
        prompt_encoder_config={
            "hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 8,
        },
        mask_decoder_config={
            "hidden_size": 16, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "iou_head_hidden_dim": 16, "attention_downsample_rate": 1,
        },
    )  # fmt: skip
    SamModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("text-to-mask")
    return {"detector": _small_detector(folder / "dino"), "segmenter": _small_segmenter(folder / "sam")}


@pytest.fixture(scope="module")
def finder(models: dict[str, str]) -> TextToMask:
    return TextToMask(**models, box_threshold=0.0, text_threshold=0.0)


def test_the_best_boxes_are_taken_by_score_and_lie_in_the_picture(finder: TextToMask) -> None:
    image = textured(90, 60, seed=1)
    processor, model = finder._detector
    inputs = processor(images=image, text="the grey sky.", return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**inputs)
    scores = outputs.logits[0].sigmoid().amax(-1)
    centre, size = outputs.pred_boxes[0, :, :2], outputs.pred_boxes[0, :, 2:]
    corners = torch.cat([centre - size / 2, centre + size / 2], dim=-1) * torch.tensor([90, 60, 90, 60])
    expected = corners[scores.argsort(descending=True, stable=True)]
    whole = expected.clamp(min=torch.zeros(4), max=torch.tensor([90.0, 60, 90, 60]))
    for most in (1, 2, 4):
        boxes = TextToMask(
            detector=finder.detector, segmenter=finder.segmenter, box_threshold=0.0, text_threshold=0.0, most_boxes=most
        ).boxes(image, " The grey sky. ")
        assert np.allclose(boxes, whole[:most].numpy(), atol=1e-3)
    assert len(TextToMask(detector=finder.detector, segmenter="", box_threshold=1.0).boxes(image, "a bird")) == 0


def test_the_region_is_the_union_of_what_the_segmenter_cuts_out(finder: TextToMask) -> None:
    image = textured(90, 60, seed=1)
    boxes = finder.boxes(image, "a bird")
    each = [finder._cut_out(image, boxes[row : row + 1])[0] for row in range(len(boxes))]
    found = finder.find(image, "a bird")
    expected = np.logical_or.reduce(each)
    assert expected.any() and found is not None and found.shape == (60, 90) and found.dtype == np.float32
    assert np.array_equal(found, fill_holes(expected))
    again = finder.find(image, "a bird")
    assert again is not None and np.array_equal(again, found)


def test_small_holes_are_filled_and_large_ones_and_bays_are_not() -> None:
    mask = np.zeros((200, 200), bool)
    mask[20:180, 20:180] = True
    small, large = (100, 105), (40, 80)
    for first, last in (small, large):
        mask[first:last, first:last] = False
    mask[0:60, 150:153] = mask[60:61, 150:153] = False  # open to the outside
    filled = fill_holes(mask)
    assert (small[1] - small[0]) ** 2 < HOLE * mask.size < (large[1] - large[0]) ** 2
    assert filled[100:105, 100:105].all() and not filled[40:80, 40:80].any() and not filled[30, 151]


class _Found(TextToMask):
    """As if the models had found this."""

    def __init__(self, mask: Mask | None) -> None:
        super().__init__(detector="", segmenter="")
        self.given, self.asked = mask, []

    given: Mask | None
    asked: list[str]

    def find(self, image: Image.Image, text: str) -> Mask | None:
        self.asked.append(text)
        return self.given


def test_a_plan_takes_the_cut_out_region_else_the_boxes_and_says_so() -> None:
    image, cut = textured(90, 60, seed=1), np.zeros((60, 90), np.float32)
    cut[10:20, 10:30] = 1
    with plan_server() as server:
        served = ServedPlanner(server=server.url, model="m")
        found = Planner(served=served, segments=_Found(cut)).plan(image, EditRequest(emotion="joy"))
        assert found.mask is cut and found.region_by == SEGMENTS and found.notes == ()
        nothing = _Found(None)
        boxed = Planner(served=served, segments=nothing).plan(image, EditRequest(emotion="joy"))
        assert nothing.asked == ["the grey sky"] and boxed.region_by == SERVED != FACES
        assert boxed.mask is not None and boxed.mask[:30].all() and not boxed.mask[30:].any()
        assert boxed.notes == ("detector and segmenter found nothing called 'the grey sky'",)
        given = Planner(served=served, segments=nothing).plan(image, EditRequest(emotion="joy", whole=True))
    assert given.mask is None and len(nothing.asked) == 1


def test_weights_that_are_not_there_are_named_with_a_remedy(models: dict[str, str], tmp_path: Path) -> None:
    image = textured(30, 20, seed=1)
    with pytest.raises(MissingWeightsError, match=r"no folder /absent with a detector; remedy: .*grounding-dino-tiny"):
        TextToMask(detector="/absent", segmenter="").boxes(image, "a bird")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(
        MissingWeightsError, match=r"lacks model.safetensors, tokenizer_config.json, preprocessor_config"
    ):
        TextToMask(detector=str(tmp_path), segmenter="").boxes(image, "a bird")
    for name in ("model.safetensors", "preprocessor_config.json", "tokenizer_config.json"):
        (tmp_path / name).write_text(json.dumps({}))
    with pytest.raises(EditError, match="cannot be read as GroundingDinoForObjectDetection"):
        TextToMask(detector=str(tmp_path), segmenter="").boxes(image, "a bird")
    with pytest.raises(EditError, match="detector and segmenter go together"):
        make_editor(Tools(detector=models["detector"]))
    editor = make_editor(Tools(**models))
    assert editor.planner.segments == TextToMask(**models)
