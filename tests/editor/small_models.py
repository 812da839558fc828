"""Small models of the real architectures with random weights, as folders: they prove plumbing and no quality."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from moodarchive.models.clip_vocabulary import merges, symbols
from moodarchive.models.torch_compat import import_torchvision_safely
from moodarchive.storage.store import Store
from tests.train.small import CONFIG, PREPROCESS, small_settings
from train.model.towers import open_towers
from train.saving.checkpoint import Progress
from train.saving.export import export
from train.settings import ModelSettings

WIDTH = 64
"""Of the text states that the small UNets' cross-attention takes."""
CELL = 4
"""Pixels of the small VAE's cells; the small UNets halve a latent twice, so that pictures are worked on in 16ths."""


@dataclass(frozen=True, kw_only=True)
class SmallModels:
    """Folders: a latent consistency model, an InstructPix2Pix, MoodifyCLIPs that fit and do not fit their UNets."""

    base: str
    instruct: str
    moodify: str
    other_width: str


def small_models(folder: Path) -> SmallModels:
    """Makes all four in ``folder``, in two seconds or so."""
    return SmallModels(
        base=small_base(folder / "base"),
        instruct=small_base(folder / "instruct", channels=8),
        moodify=small_moodify(folder / "moodify"),
        other_width=small_moodify(folder / "other-width", width=96),
    )


def small_base(folder: Path, channels: int = 4, seed: int = 0, cell: int = CELL) -> str:
    """A folder as diffusers saves a pipeline: a UNet and a VAE of SD 1.5's kinds of blocks, and CLIP's vocabulary."""
    import_torchvision_safely()
    from diffusers import AutoencoderKL, LCMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(seed)
    UNet2DConditionModel(
        sample_size=16,
        in_channels=channels,
        block_out_channels=(32, 32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
        time_cond_proj_dim=16 if channels == 4 else None,  # latent consistency models have it
    ).save_pretrained(folder / "unet")
    levels = cell.bit_length()
    AutoencoderKL(
        block_out_channels=(*[16] * (levels - 1), 32),
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        norm_num_groups=8,
    ).save_pretrained(folder / "vae")
    noise = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    LCMScheduler(**noise).save_pretrained(folder / "scheduler")
    CLIPTextModel(
        CLIPTextConfig(
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            bos_token_id=49406,
            eos_token_id=49407,
            vocab_size=49408,
        )
    ).save_pretrained(folder / "text_encoder")
    _write_tokenizer(folder / "tokenizer")
    return str(folder)


def small_moodify(folder: Path, width: int = WIDTH, seed: int = 1) -> str:
    """What training exports: a CLIP of random weights with 248 positions, its text tower of that width."""
    import_torchvision_safely()
    import open_clip
    from safetensors.torch import save_file

    start = folder / "start"
    start.mkdir(parents=True)
    config: dict[str, Any] = CONFIG | {"text_cfg": CONFIG["text_cfg"] | {"width": width}}
    torch.manual_seed(seed)
    state = open_clip.CLIP(**config).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, start / "open_clip_model.safetensors")
    (start / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": PREPROCESS}))
    towers = open_towers(ModelSettings(name=f"local-dir:{start}", pretrained=""))
    told = Progress(step=1, settings={}, seals=["0"])
    export(Store(str(folder)), towers, told, small_settings(f"local-dir:{start}", folder))
    return str(folder / "model")


def _write_tokenizer(folder: Path) -> None:
    folder.mkdir(parents=True)
    marks = ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {symbol: number for number, symbol in enumerate([*symbols(), *marks])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges()) + "\n")
    told = {"bos_token": marks[0], "eos_token": marks[1], "pad_token": marks[1], "unk_token": marks[1]}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, **told})
    )
