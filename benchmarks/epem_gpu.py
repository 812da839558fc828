"""EPEM at real sizes: seconds and peak memory of one edit, with and without EIC, and of one step of EIC's training.

Weights are random and pictures are noise: the figures tell what an edit and a step cost, and nothing about how edits
look. With ``--sizes real`` (a GPU's default) the language model is BLIP-2's with OPT-2.7B in float32, the UNet, VAE and
text tower are Stable Diffusion 1.5's, the Q-Former and the picture encoder BLIP-2's; with ``--sizes small`` (a CPU's)
all is small. ``python benchmarks/epem_gpu.py [--steps 5] [--edits 3]`` prints one JSON line a measurement. The paper
has 9.6 s an edit and 7.5 s without EIC, on an A100.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from PIL import Image

from editor.edit import Edit
from editor.job import settings_with
from editor.methods.epem import Epem
from moodarchive.diffusion.parts import diffusion_library
from moodarchive.diffusion.retaining import READER, VISION, RetainingConfig, attention_widths, make_retaining
from moodarchive.diffusion.text import clip_tokenizer
from moodarchive.language_edit.caption_editor import CaptionEditor, EditorConfig, EditorModel
from moodarchive.language_edit.captioner import Captioner, open_captioner
from moodarchive.language_edit.prompts import CaptionRequest, instruction_for
from moodarchive.models.torch_compat import import_torchvision_safely
from pipelines.demo.pairs.captions import drawn_words
from pipelines.demo.pairs.drawn_captioner import CaptionerShape, make_captioner
from train.diffusion.denoiser import SCHEDULER
from train.diffusion.learner import Learner
from train.epem.caption_loss import CaptionEditLoss
from train.epem.caption_settings import CaptionEditorSettings

REAL: dict[str, Any] = {
    "vision": {"hidden_size": 1408, "intermediate_size": 6144, "num_hidden_layers": 39, "num_attention_heads": 16,
               "image_size": 224, "patch_size": 14},
    "qformer": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
                "encoder_hidden_size": 1408, "vocab_size": 30522},
    "opt": {"hidden_size": 2560, "word_embed_proj_dim": 2560, "ffn_dim": 10240, "num_hidden_layers": 32,
            "num_attention_heads": 32, "vocab_size": 50304, "max_position_embeddings": 2048},
    "text": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    "unet": {"block_out_channels": (320, 640, 1280, 1280), "layers_per_block": 2, "attention_head_dim": 8},
    "vae": {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2},
    "queries": 32, "hidden": 2048, "rank": 1920, "size": 512, "denoising": 50,
}  # fmt: skip
SMALL: dict[str, Any] = {
    "vision": {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
               "image_size": 16, "patch_size": 8},
    "qformer": {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
                "encoder_hidden_size": 16, "vocab_size": 128},
    "opt": {"hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 32, "num_hidden_layers": 4,
            "num_attention_heads": 2, "vocab_size": 128, "max_position_embeddings": 256},
    "text": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
    "unet": {"block_out_channels": (32, 64), "layers_per_block": 1, "attention_head_dim": 4, "norm_num_groups": 8},
    "vae": {"block_out_channels": (16, 32), "layers_per_block": 1, "norm_num_groups": 8},
    "queries": 4, "hidden": 32, "rank": 8, "size": 32, "denoising": 3,
}  # fmt: skip
REQUEST = CaptionRequest(
    caption="a woman with long hair angry, with raging flames",
    emotion="anger",
    instruction=instruction_for("anger", "contentment"),
    target_emotion="contentment",
)
_PAD, _UNKNOWN = "[PAD]", "[UNK]"
EDITED_CAPTION = "a woman with long hair contented, with a warm sun"


@dataclass
class OnePair:
    """A picture of noise and what is asked of it, again and again."""

    image_of_noise: Image.Image
    name: str = "noise"

    def __len__(self) -> int:
        return 4

    def image(self, row: int) -> Image.Image:
        """The noise."""
        return self.image_of_noise

    def request(self, row: int) -> CaptionRequest:
        """The same."""
        return REQUEST

    def edited_caption(self, row: int) -> str:
        """The same."""
        return EDITED_CAPTION


def make_language_model(sizes: dict[str, Any], folder: Path, device: torch.device) -> Captioner:
    """A BLIP-2 of random weights, whose words are those of the demo's drawings."""
    import transformers

    small = CaptionerShape(vision_width=16, vision_layers=1, query_width=16, query_layers=1, width=16, layers=4)
    make_captioner(folder, small)
    words = open_captioner(folder)
    own = words.model.config
    marks = {name: getattr(own.text_config, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    config: Any = transformers.Blip2Config(
        vision_config=sizes["vision"],
        qformer_config=sizes["qformer"],
        text_config={"model_type": "opt", "dropout": 0.0, **sizes["opt"], **marks},
        num_query_tokens=sizes["queries"],
        image_token_index=own.image_token_index,
    )
    cls: Any = transformers.Blip2ForConditionalGeneration
    with device:  # drawn where they shall be: 3.7 billion weights take minutes on a CPU
        model = cls(config)
    return Captioner(
        model=model.eval().requires_grad_(False),
        tokenizer=words.tokenizer,
        side=sizes["vision"]["image_size"],
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )


def write_picture_half(sizes: dict[str, Any], folder: Path) -> None:
    """UNet, VAE, text tower, picture encoder and adapter, as training exports them."""
    import transformers

    library, text = diffusion_library(), sizes["text"]["hidden_size"]
    levels, coarser = len(sizes["vae"]["block_out_channels"]), len(sizes["unet"]["block_out_channels"]) - 1
    unet = library.UNet2DConditionModel(
        in_channels=4,
        out_channels=4,
        cross_attention_dim=text,
        down_block_types=("CrossAttnDownBlock2D",) * coarser + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * coarser,
        **sizes["unet"],
    )
    unet.save_pretrained(folder / "unet")
    library.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        latent_channels=4,
        **sizes["vae"],
    ).save_pretrained(folder / "vae")
    (folder / "scheduler").mkdir()
    scheduler = {"_class_name": "DDIMScheduler", **SCHEDULER}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    towers: Any = transformers.CLIPTextModel
    towers(transformers.CLIPTextConfig(**sizes["text"])).save_pretrained(folder / "text_encoder")
    clip_tokenizer().save_pretrained(folder / "tokenizer")
    vision: Any = transformers.Blip2VisionModel
    vision(transformers.Blip2VisionConfig(**sizes["vision"])).save_pretrained(folder / VISION)
    _write_reader(folder / READER)
    make_retaining(
        RetainingConfig(
            qformer=RetainingConfig.qformer_of(sizes["qformer"]),
            queries=sizes["queries"],
            input_width=sizes["unet"]["block_out_channels"][0],
            text_width=text,
            attention=attention_widths(unet),
            heads=8 if sizes is REAL else 2,
            hidden=sizes["hidden"],
        ),
        0,
    ).save(folder)


def _write_reader(folder: Path) -> None:
    """Whole words, in BERT's manner."""
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    words = {word: number for number, word in enumerate((_PAD, _UNKNOWN, *drawn_words()))}
    tokenizer: Any = Tokenizer(models.WordLevel(words, unk_token=_UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast: Any = transformers.PreTrainedTokenizerFast
    fast(tokenizer_object=tokenizer, pad_token=_PAD, unk_token=_UNKNOWN).save_pretrained(folder)


def timed(device: torch.device, times: int, run: Callable[[], object]) -> dict[str, Any]:
    """Median seconds after a first call that warms up, and the peak memory of all."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(times + 1):
        began = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    peak = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None
    return {"seconds": round(statistics.median(seconds[1:]), 3), "peak_gib": peak and round(peak, 2)}


def measure_step(options: argparse.Namespace, sizes: dict[str, Any], captioner: Captioner, model: EditorModel) -> Any:
    """Steps of EIC's training at batch 1, with the language model frozen as in training."""
    settings = CaptionEditorSettings.model_validate(
        {
            "output": "unused",
            "rank": sizes["rank"],
            "schedule": {"steps": 10_000, "batch": 1, "learning_rate": 1e-6, "average": 0},
        }
    )
    noise = np.random.default_rng(0).random((4, sizes["queries"], captioner.width)).astype(np.float32)
    pairs = OnePair(image_of_noise=_noise(64))
    loss = CaptionEditLoss(captioner=captioner, model=model.train(), pairs=pairs, pictures=noise, settings=settings)
    learner, steps = Learner(model, settings.schedule), iter(range(10_000))

    def run() -> None:
        step = next(steps)
        learner.learn(loss(step), step)

    return timed(captioner.device, options.steps, run) | {
        "what": "EIC step", "weights": sum(parameter.numel() for parameter in model.parameters()),
    }  # fmt: skip


def measure_edits(
    options: argparse.Namespace, sizes: dict[str, Any], folder: Path, captions: CaptionEditor
) -> list[dict[str, Any]]:
    """One edit from the instruction on, with EIC and without, and one whose caption is given."""
    lines = []
    for what, eic, prompt in (("EPEM edit", True, ""), ("w/o EIC", False, ""), ("caption given", True, EDITED_CAPTION)):
        settings = settings_with("epem", size=sizes["size"], steps=sizes["denoising"], eic=eic)
        method = Epem(folder, None, settings)
        method.captions = None if prompt else captions
        edit = Edit(
            image=_noise(sizes["size"]), prompt=prompt, emotion="contentment", seed=0, instruction=REQUEST.instruction
        )
        measured = timed(
            method.device,
            options.edits,
            lambda: method.edit([edit], lambda done, total: None, lambda: False),  # noqa: B023
        )
        lines.append({"what": what, "size": sizes["size"], "denoising": sizes["denoising"], **measured})
    return lines


def _noise(size: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8))


def main() -> None:
    """Prints the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", choices=("real", "small"), default="", help="real on a GPU, small on a CPU")
    parser.add_argument("--steps", type=int, default=5, help="of EIC's training")
    parser.add_argument("--edits", type=int, default=3, help="of each kind")
    options = parser.parse_args()
    import_torchvision_safely()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = options.sizes or ("real" if device.type == "cuda" else "small")
    sizes = REAL if kind == "real" else SMALL
    name = f"{torch.cuda.get_device_name() if device.type == 'cuda' else 'CPU'}, {kind} sizes"
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory(prefix="epem-gpu-") as temporary:
        folder = Path(temporary)
        captioner = make_language_model(sizes, folder / "words", device)
        model = EditorModel(captioner, EditorConfig(rank=sizes["rank"])).to(device)
        lines = [measure_step(options, sizes, captioner, model)]
        (folder / "epem").mkdir()
        write_picture_half(sizes, folder / "epem")
        captions = CaptionEditor(captioner, model.requires_grad_(False))
        lines += measure_edits(options, sizes, folder / "epem", captions)
    for line in lines:
        print(json.dumps({"device": name, **line}))


if __name__ == "__main__":
    main()
