"""Makes a tiny LLaVA-NeXT of RANDOM weights that vLLM can serve: the right architecture, and no sense in its words.

``python -m tests.annotate.tiny_llava FOLDER``, with a Python that has torch, transformers and tokenizers.
"""

import json
import sys
from pathlib import Path
from typing import Any

IMAGE_SIDE, PATCH, WIDTH, VOCABULARY = 28, 14, 64, 1024
WORDS = (
    "tree hill sky cloud grass light face hand child street house window river stone flower shadow water field bird "
    "green grey wide lone calm bright dark warm cold soft small under over near with and the shows stands gives leans "
    "rests fills joy fear sorrow hope quiet feeling"
)
CHAT = (
    "{% for m in messages %}{{ m['role'] }}: {% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{% if c['type'] == 'text' %}{{ c['text'] }}{% else %}<image>\n{% endif %}{% endfor %}"
    "{% endif %}\n{% endfor %}assistant: "
)


def make_tiny_llava(folder: Path) -> None:
    """Writes weights, configuration, tokenizer and processor; equal bytes every time."""
    import torch
    from transformers import LlavaNextForConditionalGeneration

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    model = LlavaNextForConditionalGeneration(_config(tokenizer))
    _lean_towards_words(model, tokenizer)
    model = model.to(torch.bfloat16)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    _processor(tokenizer).save_pretrained(folder)
    _rename_vision_keys(folder / "model.safetensors")


def _lean_towards_words(model: Any, tokenizer: Any) -> None:
    """Makes whole words likely, and a quotation mark wherever the grammar admits one, so that sentences end.

    Llama has no output bias; the first dimension of every embedding is the same large value, and so acts as one.
    """
    import torch

    chances = {f"\u0120{word}": 6.0 for word in WORDS.split()} | {".": 7.5, '"': 14.0, "]": 9.0, ",": 4.0}
    with torch.no_grad():
        embeddings = model.get_input_embeddings().weight.normal_(0.0, 1.0)
        embeddings[:, 0] = 5.0
        head = model.get_output_embeddings().weight.normal_(0.0, 0.05)
        head[:, 0] = 0.0
        for token, chance in chances.items():
            head[tokenizer.convert_tokens_to_ids(token), 0] = chance / 4.0


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<pad>", "<image>"]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    bpe.train_from_iterator([" " + WORDS], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<s>",  # noqa: S106  no password
        eos_token="</s>",  # noqa: S106  no password
        pad_token="<pad>",  # noqa: S106  no password
        extra_special_tokens={"image_token": "<image>"},
    )


def _config(tokenizer: Any) -> Any:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaNextConfig

    vision = CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=2, num_attention_heads=2,
        image_size=IMAGE_SIDE, patch_size=PATCH, projection_dim=WIDTH,
    )  # fmt: skip
    text = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=8192,
        bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    return LlavaNextConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=[[28, 56], [56, 28], [56, 56]],
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )


def _processor(tokenizer: Any) -> Any:
    from transformers import LlavaNextImageProcessor, LlavaNextProcessor

    pictures = LlavaNextImageProcessor(
        size={"shortest_edge": IMAGE_SIDE},
        crop_size={"height": IMAGE_SIDE, "width": IMAGE_SIDE},
        image_grid_pinpoints=[[28, 56], [56, 28], [56, 56]],
    )
    return LlavaNextProcessor(
        image_processor=pictures,
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        chat_template=CHAT,
        num_additional_image_tokens=1,
    )


def _rename_vision_keys(weights: Path) -> None:
    """vLLM wants the vision tower's keys one level deeper than transformers writes them."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(weights)
    renamed = {
        name.replace("vision_tower.", "vision_tower.vision_model.", 1)
        if "vision_tower." in name and "vision_model." not in name
        else name: tensor
        for name, tensor in tensors.items()
    }
    save_file(renamed, weights, metadata={"format": "pt"})
    note = {"weights": "random: this model proves plumbing only"}
    (weights.parent / "RANDOM_WEIGHTS.json").write_text(json.dumps(note))


if __name__ == "__main__":
    make_tiny_llava(Path(sys.argv[1]))
