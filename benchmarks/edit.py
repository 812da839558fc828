"""An edit's time beside diffusers' img2img at equal rows through the UNet; on a GPU at real sizes, and its memory.

Weights are random: the figures tell what an edit costs, and nothing about how it looks. On a GPU the sizes are those of
Stable Diffusion 1.5 with ViT-L/14's text tower at 512 x 512 and 12 steps, on a CPU they are small.
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

from editor.edit import Edit, EditSettings
from editor.loading import load_method
from editor.methods.base import choose_device_and_dtype
from moodarchive.diffusion.parts import diffusion_library
from moodarchive.models.clip_vocabulary import merges, symbols

STEPS, ROWS = 12, 3
"""Our rows a step: the source, the target, and the target's empty prompt."""
PEER_STEPS, PEER_ROWS = 18, 2
"""img2img with guidance has two rows a step: 18 x 2 = 12 x 3."""
SLOWER, MEMORY_GIB = 1.25, 8.0
PROMPT = "a girl laughs with her arms wide open, the low sun warm on her face " * 8


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Of the models, the picture and the text."""

    name: str
    picture: int
    unet: tuple[int, ...]
    vae: tuple[int, ...]
    blocks: int
    heads: int
    text_width: int
    text_layers: int


REAL = Sizes(
    name="SD 1.5, 512 x 512", picture=512, unet=(320, 640, 1280, 1280), vae=(128, 256, 512, 512), blocks=2, heads=8,
    text_width=768, text_layers=12,
)  # fmt: skip
SMALL = Sizes(
    name="small models, 128 x 128", picture=128, unet=(64, 64, 128, 128), vae=(16, 16, 32, 32), blocks=1, heads=4,
    text_width=128, text_layers=2,
)  # fmt: skip


def write_models(folder: Path, sizes: Sizes, dtype: torch.dtype) -> None:
    """A base of the SD 1.5 family and the text half of a MoodifyCLIP, of random weights."""
    diffusers = diffusion_library()
    diffusers.logging.set_verbosity_error()
    torch.manual_seed(0)
    device, levels = choose_device_and_dtype(EditSettings())[0], len(sizes.unet)
    with torch.device(device):
        unet = diffusers.UNet2DConditionModel(
            sample_size=sizes.picture // 8, cross_attention_dim=sizes.text_width, attention_head_dim=sizes.heads,
            block_out_channels=sizes.unet, layers_per_block=sizes.blocks,
            down_block_types=("CrossAttnDownBlock2D",) * (levels - 1) + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (levels - 1),
            norm_num_groups=32,
        )  # fmt: skip
        vae = diffusers.AutoencoderKL(
            block_out_channels=sizes.vae, layers_per_block=sizes.blocks, norm_num_groups=min(32, sizes.vae[0]),
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        )  # fmt: skip
    unet.to(dtype).save_pretrained(folder / "base" / "unet")
    vae.to(dtype).save_pretrained(folder / "base" / "vae")
    noise = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    diffusers.LCMScheduler(**noise).save_pretrained(folder / "base" / "scheduler")
    _write_text(folder / "base" / "text_encoder", folder / "base" / "tokenizer", sizes, 77)
    _write_text(folder / "moodify", folder / "moodify", sizes, 248)


def _write_text(model: Path, tokenizer: Path, sizes: Sizes, context: int) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        hidden_size=sizes.text_width, intermediate_size=4 * sizes.text_width, num_hidden_layers=sizes.text_layers,
        num_attention_heads=sizes.text_width // 64, max_position_embeddings=context, vocab_size=49408,
        bos_token_id=49406, eos_token_id=49407,
    )  # fmt: skip
    CLIPTextModel(config).save_pretrained(model)
    tokenizer.mkdir(exist_ok=True)
    start, end = "<|startoftext|>", "<|endoftext|>"
    vocabulary = {symbol: number for number, symbol in enumerate([*symbols(), start, end])}
    (tokenizer / "vocab.json").write_text(json.dumps(vocabulary))
    (tokenizer / "merges.txt").write_text("#version\n" + "\n".join(" ".join(pair) for pair in merges()) + "\n")
    told = {"tokenizer_class": "CLIPTokenizer", "model_max_length": context, "bos_token": start, "eos_token": end}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(told | {"pad_token": end, "unk_token": end}))


def ours(folder: Path, sizes: Sizes, picture: Image.Image) -> tuple[Callable[[], object], int]:
    """One edit with a mask and refined attention, and the bytes of its models."""
    settings = EditSettings(steps=STEPS, size=sizes.picture)
    method: Any = load_method("moodifier", str(folder / "base"), str(folder / "moodify"), settings)
    mask = np.zeros((sizes.picture, sizes.picture), np.float32)
    mask[: sizes.picture // 2] = 1
    edit = Edit(image=picture, prompt=PROMPT, mask=mask)
    rows: list[int] = []
    watch = method._base.unet.register_forward_pre_hook(lambda _, told: rows.append(len(told[0])))
    run = lambda: method.edit([edit], lambda done, total: None, lambda: False)  # noqa: E731
    run()
    watch.remove()
    assert rows == [ROWS] * STEPS, rows
    return run, _bytes(method._base.unet, method._base.vae, method._text._model)


def peers(folder: Path, sizes: Sizes, picture: Image.Image) -> tuple[Callable[[], object], int]:
    """diffusers' img2img over its own copy of the base."""
    diffusers = diffusion_library()
    from transformers import CLIPTextModel, CLIPTokenizer

    device, dtype = choose_device_and_dtype(EditSettings())
    base = folder / "base"
    pipe = diffusers.StableDiffusionImg2ImgPipeline(
        unet=diffusers.UNet2DConditionModel.from_pretrained(base / "unet", torch_dtype=dtype),
        vae=diffusers.AutoencoderKL.from_pretrained(base / "vae", torch_dtype=dtype),
        text_encoder=CLIPTextModel.from_pretrained(base / "text_encoder", dtype=dtype),
        tokenizer=CLIPTokenizer.from_pretrained(base / "tokenizer"),
        scheduler=diffusers.LCMScheduler.from_pretrained(base / "scheduler"),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).to(device)  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    rows: list[int] = []
    watch = pipe.unet.register_forward_pre_hook(lambda _, told: rows.append(len(told[0])))
    asked = {"prompt": PROMPT[:200], "image": picture, "strength": 1.0, "guidance_scale": 2.0}
    run = lambda: pipe(**asked, num_inference_steps=PEER_STEPS)  # noqa: E731
    run()
    watch.remove()
    assert rows == [PEER_ROWS] * PEER_STEPS, rows
    return run, _bytes(pipe.unet, pipe.vae, pipe.text_encoder)


def _bytes(*models: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for model in models for tensor in model.parameters())


def _timed(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _peak_gib(run: Callable[[], object], others: int) -> float:
    """What an edit holds at most, without the other side's models."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - others) / 2**30


def _claim(says: str, mine: float, peer: float, unit: str, bar: float) -> dict[str, Any]:
    ratio = peer / mine
    line = {"claim": says, "ours": round(mine, 4), "peer": round(peer, 4), "unit": unit, "ratio": round(ratio, 3)}
    return line | {"bar": bar, "met": line["ratio"] >= bar}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rounds", type=int, default=9)
    rounds = asked.parse_args().rounds
    gpu = torch.cuda.is_available()
    if not gpu:
        torch.set_num_threads(1)  # small models gain nothing from more, and a shared machine would blur the ratio
    sizes = REAL if gpu else SMALL
    where = torch.cuda.get_device_name() if gpu else "CPU, 1 thread"
    values = np.random.default_rng(0).integers(0, 256, (sizes.picture, sizes.picture, 3), dtype=np.uint8)
    picture = Image.fromarray(values)
    with tempfile.TemporaryDirectory() as folder:
        write_models(Path(folder), sizes, torch.bfloat16 if gpu else torch.float32)
        (edit, edit_bytes), (img2img, peer_bytes) = (make(Path(folder), sizes, picture) for make in (ours, peers))
    pairs = [(_timed(edit), _timed(img2img)) for _ in range(rounds)]
    mine, peer = (statistics.median(times) for times in zip(*pairs, strict=True))
    rows = f"{STEPS} x {ROWS} rows against img2img's {PEER_STEPS} x {PEER_ROWS}"
    claims = [_claim(f"an edit, {sizes.name}, random weights, {rows}; {where}", mine, peer, "s", round(1 / SLOWER, 3))]
    if gpu:
        peak, peers_peak = _peak_gib(edit, peer_bytes), _peak_gib(img2img, edit_bytes)
        says = f"peak GPU memory of an edit against a limit, {sizes.name}; img2img takes {peers_peak:.2f}"
        claims.append(_claim(says, peak, MEMORY_GIB, "GiB", 1.0))
    for claim in claims:
        print(json.dumps(claim))
    print(json.dumps(min(claims, key=lambda claim: float(claim["ratio"]) / float(claim["bar"]))))


if __name__ == "__main__":
    main()
