"""Prompts as the diffusion model reads them: a text tower's states after its final layer norm."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moodarchive.diffusion.parts import TRANSFORMERS_WEIGHTS, weights_variant
from moodarchive.errors import EditError


class TextTower:
    """A CLIP text tower of transformers, MoodifyCLIP's (248 tokens) or a diffusion model's own (77)."""

    def __init__(self, *, model: Path, tokenizer: Path, device: torch.device, dtype: torch.dtype) -> None:
        import transformers

        reads: Any = transformers.CLIPTextModel.from_pretrained  # its type does not know output_loading_info
        try:
            self._tokenizer: Any = transformers.CLIPTokenizer.from_pretrained(tokenizer, local_files_only=True)
            tower, report = reads(
                model,
                local_files_only=True,
                use_safetensors=True,
                dtype=dtype,
                output_loading_info=True,
                variant=weights_variant(model, TRANSFORMERS_WEIGHTS),
            )
        except Exception as error:  # transformers raises anything from OSError to safetensors' own errors
            raise EditError(f"the text tower in {model} cannot be read: {str(error)[:200]}") from error
        if report["missing_keys"]:
            raise EditError(f"the text tower in {model} lacks {', '.join(sorted(report['missing_keys'])[:3])} …")
        self._model: Any = tower.to(device).eval()
        self.width = int(self._model.config.hidden_size)
        self.context = int(self._model.config.max_position_embeddings)
        self.end = int(self._tokenizer.eos_token_id)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Each text between its two marks, cut to the context and padded to it with end marks; the empty one alike."""
        rows = self._tokenizer(
            list(texts), padding=False, truncation=True, max_length=self.context, add_special_tokens=True
        )["input_ids"]
        return [[*ids, *[self.end] * (self.context - len(ids))] for ids in rows]

    def unread(self, text: str) -> str:
        """What of a text lies behind the encoder's last token; empty where all of it is read."""
        return unread_words(self._tokenizer, text, self.context)

    def ids(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        """int64 [B, context] on the tower's device."""
        return torch.tensor(tokens).to(self._model.device)

    @torch.inference_mode()
    def states(self, ids: Tensor) -> Tensor:
        """[B, context, width] after the final layer norm, not projected; the padding is attended to, as in training."""
        states: Tensor = self._model(input_ids=ids).last_hidden_state
        return states


def text_folders(folder: Path) -> tuple[Path, Path]:
    """Where the text model and the tokenizer lie in an exported MoodifyCLIP or a diffusion model's folder.

    EditError where they do not.
    """
    shapes = (("", ""), ("hub", "hub"), ("model/hub", "model/hub"), ("text_encoder", "tokenizer"))
    for model, tokenizer in shapes:
        weights = (folder / model / TRANSFORMERS_WEIGHTS).is_file() or weights_variant(
            folder / model, TRANSFORMERS_WEIGHTS
        )
        if weights and (folder / tokenizer / "tokenizer_config.json").is_file():
            return folder / model, folder / tokenizer
    raise EditError(
        f"{folder} holds no text tower; remedy: the folder that `moodarchive train` exported (OUTPUT/model), or one "
        "with text_encoder/ and tokenizer/ as diffusers saves them, with safetensors"
    )


def unread_words(tokenizer: Any, text: str, context: int) -> str:
    """The end of a text that does not fit into ``context`` tokens, its two marks among them."""
    ids = tokenizer(text, padding=False, truncation=False, add_special_tokens=False)["input_ids"]
    return str(tokenizer.decode(ids[context - 2 :])).strip() if len(ids) > context - 2 else ""


def require_fitting_text(tower: TextTower, width: int, folder: str) -> None:
    """EditError unless the UNet's cross-attention takes states of the tower's width."""
    if tower.width != width:
        raise EditError(
            f"the text tower of {folder} has width {tower.width}, the base's cross-attention takes {width}: the states "
            "would need a projection that nobody has trained. Remedy: a MoodifyCLIP trained from a CLIP whose text "
            f"tower has width {width} (for Stable Diffusion 1.5, 768: ViT-L-14, not ViT-B-16), or text_encoder = clip"
        )
