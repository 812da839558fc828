"""Small models of the measures' architectures with random weights, as files: they prove plumbing and no quality."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from moodarchive.emotions.taxonomy import MIKELS_EIGHT
from moodarchive.models.clip_vocabulary import merges, symbols
from moodarchive.models.torch_compat import import_torchvision_safely

MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
"""Of the classifier's pixels."""
SIDE = 64
"""Of the pictures that the small CLIP takes."""


@dataclass(frozen=True, kw_only=True)
class MeasuringModels:
    """Folders of a DINO of twelve layers, a CLIP and a classifier of the eight; a file of SqueezeNet's weights."""

    dino: str
    clip: str
    emotions: str
    lpips: str


def measuring_models(folder: Path) -> MeasuringModels:
    """Makes all four in ``folder``."""
    import_torchvision_safely()
    from torchvision.models import squeezenet1_1

    torch.manual_seed(7)
    torch.save(squeezenet1_1(weights=None).state_dict(), folder / "squeezenet.pth")
    return MeasuringModels(
        dino=_dino(folder / "dino"),
        clip=_clip(folder / "clip"),
        emotions=classifier(folder / "emotions", MIKELS_EIGHT),
        lpips=str(folder / "squeezenet.pth"),
    )


def _dino(folder: Path) -> str:
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=24, num_hidden_layers=12, num_attention_heads=2, intermediate_size=32, image_size=224,
        patch_size=32, qkv_bias=True, initializer_range=0.2,
    )  # fmt: skip
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    return str(folder)


def _clip(folder: Path) -> str:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    both = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
            "initializer_factor": 8.0}  # fmt: skip
    CLIPModel(
        CLIPConfig(
            text_config={**both, "bos_token_id": 49406, "eos_token_id": 49407, "vocab_size": 49408},
            vision_config={**both, "image_size": SIDE, "patch_size": 16},
            projection_dim=16,
        )
    ).save_pretrained(folder)
    entries = [*symbols(), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={entry: place for place, entry in enumerate(entries)}, merges=merges())
    images = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    return str(folder)


def classifier(folder: Path, labels: tuple[str, ...]) -> str:
    """A ResNet of the given classes, saved with its processor."""
    from transformers import ConvNextImageProcessor, ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic",
        id2label=dict(enumerate(labels)), label2id={label: place for place, label in enumerate(labels)},
    )  # fmt: skip
    network = ResNetForImageClassification(config)
    for parameter in network.classifier.parameters():  # apart enough that the predicted class is no tie
        torch.nn.init.normal_(parameter)
    network.save_pretrained(folder)
    ConvNextImageProcessor(size={"shortest_edge": 224}, image_mean=MEAN, image_std=DEVIATION).save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["id2label"]
    return str(folder)
