"""A small BLIP-2, drawn records and an adapter as training exports it: random weights, plumbing and no quality."""

import json
import shutil
from pathlib import Path

import torch

from moodarchive.diffusion.parts import read_model
from moodarchive.diffusion.retaining import READER, VISION, RetainingConfig, attention_widths, make_retaining
from moodarchive.diffusion.vision import open_picture_encoder, read_json
from moodarchive.emotions.taxonomy import MIKELS, MIKELS_EIGHT
from moodarchive.language_edit.prompts import instruction_for
from moodarchive.models.torch_compat import import_torchvision_safely
from pipelines.demo.pairs.drawing import KINDS, PAIRED_EMOTIONS, draw_paired
from pipelines.demo.pairs.moods import Mood
from tests.editor.small_models import WIDTH

QUERIES, QWIDTH = 4, 16
_WORDS = [*["please", "change", "the", "emotion", "of", "this", "image", "from", "to", ".", "a"], *MIKELS_EIGHT]


def small_blip2(folder: Path, seed: int = 2) -> Path:
    """As transformers saves the captioner, with the Q-Former's tokenizer beside it; its Q-Former has no text half."""
    import_torchvision_safely()
    from transformers import Blip2Config, Blip2ForConditionalGeneration

    torch.manual_seed(seed)
    config = Blip2Config(
        vision_config={
            "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "image_size": 16, "patch_size": 8, "initializer_range": 0.02,
        },
        qformer_config={
            "hidden_size": QWIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
            "encoder_hidden_size": 16, "vocab_size": 64, "max_position_embeddings": 32,
        },
        text_config={
            "model_type": "opt", "hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 32, "num_hidden_layers": 3,
            "num_attention_heads": 2, "vocab_size": 64, "max_position_embeddings": 64,
        },
        num_query_tokens=QUERIES,
        image_token_index=60,
    )  # fmt: skip
    Blip2ForConditionalGeneration(config).save_pretrained(folder)
    write_word_tokenizer(folder / "qformer_tokenizer", _WORDS)
    return folder


def small_epem(folder: Path, base: str, blip2: Path, seed: int = 4, *, eai: bool = True) -> Path:
    """The adapter after some noise, with the parts that training exports it with."""
    from diffusers import UNet2DConditionModel

    shutil.copytree(base, folder)
    unet = read_model(UNet2DConditionModel, folder / "unet", torch.float32)
    retaining = make_retaining(
        RetainingConfig(
            qformer=RetainingConfig.qformer_of(read_json(blip2 / "config.json")["qformer_config"]), queries=QUERIES,
            instruction_tokens=16, input_width=unet.conv_in.out_channels, text_width=WIDTH,
            attention=attention_widths(unet), heads=2, hidden=32, eai=eai,
        ),
        seed,
    )  # fmt: skip
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in retaining.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=draw))
    retaining.save(folder)
    open_picture_encoder(blip2, torch.device("cpu"), torch.float32).save(folder / VISION)
    shutil.copytree(blip2 / READER, folder / READER)
    return folder


def write_word_tokenizer(folder: Path, words: list[str]) -> None:
    """Whole words, in BERT's manner."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pad, unknown = "[PAD]", "[UNK]"
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys([pad, unknown, *words]))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad, unk_token=unknown).save_pretrained(folder)


def drawn_records(folder: Path, count: int, size: int = 32) -> Path:
    """L-AVC records of drawings, two in train to one in test; the file of JSON lines."""
    lines = []
    for side in ("original", "edited"):
        (folder / side).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        kind, place = KINDS[number % len(KINDS)], 900 + number
        before, after = (PAIRED_EMOTIONS[(number + more) % len(PAIRED_EMOTIONS)] for more in (0, 1))
        scenes = [draw_paired(kind, place, Mood(emotion, number), size) for emotion in (before, after)]
        name, (felt, wanted) = f"{kind}-{number:05}", (MIKELS[emotion] for emotion in (before, after))
        for side, scene in zip(("original", "edited"), scenes, strict=True):
            scene.image.save(folder / side / f"{name}.png")
        lines.append(
            {
                "id": name, "element": "scene", "image": f"original/{name}.png", "caption": scenes[0].caption,
                "emotion": felt, "instruction": instruction_for(felt, wanted),
                "edited_caption": scenes[1].caption, "edited_emotion": wanted, "edited_image": f"edited/{name}.png",
                "split": "test" if number % 3 == 2 else "train",
            }
        )  # fmt: skip
    file = folder / "records.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file
