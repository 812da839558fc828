"""Prompts as the diffusion model reads them: a text tower's states after its final layer norm."""

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from moodarchive.diffusion.parts import TRANSFORMERS_WEIGHTS, diffusion_library, variant_name, weights_variant
from moodarchive.errors import EditError
from moodarchive.models.clip_vocabulary import merges, symbols
from moodarchive.models.long_text import KEPT_POSITIONS

_TABLE = re.compile(r"(?:^|[._])position(?:al)?_embedding(?:_res)?(?:\.weight)?$")


class TextTower:
    """A CLIP text tower of transformers, MoodifyCLIP's (248 tokens) or a diffusion model's own (77)."""

    def __init__(
        self,
        *,
        model: Path,
        tokenizer: Path | None,
        device: torch.device,
        dtype: torch.dtype,
        padding: Literal["end", "zero"] = "end",
    ) -> None:
        """``tokenizer`` None is CLIP's own; ``padding`` fills texts up with end marks, or with token 0."""
        diffusion_library()  # quiets the table of the image tower's unused weights
        import transformers

        variant = weights_variant(model, TRANSFORMERS_WEIGHTS)
        reads: Any = transformers.CLIPTextModel.from_pretrained  # its type does not know output_loading_info
        try:
            self._tokenizer: Any = (
                transformers.CLIPTokenizer.from_pretrained(tokenizer, local_files_only=True)
                if tokenizer
                else clip_tokenizer()
            )
            config: Any = transformers.CLIPTextConfig.from_pretrained(model, local_files_only=True)
            table = read_positions(model, variant)
            if table is not None:
                config.max_position_embeddings = len(table)
            tower, report = reads(
                model,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                dtype=dtype,
                output_loading_info=True,
                variant=variant,
            )
        except Exception as error:  # transformers raises anything from OSError to safetensors' own errors
            raise EditError(f"the text tower in {model} cannot be read: {str(error)[:200]}") from error
        if report["missing_keys"]:
            raise EditError(f"the text tower in {model} lacks {', '.join(sorted(report['missing_keys'])[:3])} …")
        self._model: Any = tower.to(device).eval()
        if table is not None:
            with torch.no_grad():
                self._model.get_parameter(_own_table_name(self._model)).copy_(table)
        self.width = int(self._model.config.hidden_size)
        self.context = int(self._model.config.max_position_embeddings)
        self.end = int(self._tokenizer.eos_token_id)
        self._fill = self.end if padding == "end" else 0

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Each text between its two marks, cut to the context and padded to it; the empty one alike."""
        rows = self._tokenizer(
            list(texts), padding=False, truncation=True, max_length=self.context, add_special_tokens=True
        )["input_ids"]
        return [[*ids, *[self._fill] * (self.context - len(ids))] for ids in rows]

    def unread(self, text: str) -> str:
        """What of a text lies behind the encoder's last token; empty where all of it is read."""
        return unread_words(self._tokenizer, text, self.context)

    def ids(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        """int64 [B, context] on the tower's device."""
        return torch.tensor(tokens).to(self._model.device)

    @torch.inference_mode()
    def states(self, ids: Tensor) -> Tensor:
        """[B, context, width] after the final layer norm, not projected; the padding is seen, as in SD's training."""
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


def read_positions(folder: Path, variant: str | None) -> Tensor | None:
    """The weights' own positions, [rows, width]; None where the table's name says nothing (shards, other layouts).

    A stretched tower may keep two tables (Long-CLIP): the first 20 rows are of the one that stayed as pretrained, the
    others of the one that was trained, whose name ends in ``_res``.
    """
    from safetensors import safe_open

    name = TRANSFORMERS_WEIGHTS if variant is None else variant_name(TRANSFORMERS_WEIGHTS, variant)
    if not (folder / name).is_file():
        return None
    with safe_open(folder / name, "pt") as weights:
        found = {table: key for key in weights.keys() if (table := _table_of(key))}  # noqa: SIM118
        kept, trained = (weights.get_tensor(found[table]) if table in found else None for table in ("kept", "trained"))
    if kept is None or trained is None:
        return kept if trained is None else trained
    if kept.shape[1] != trained.shape[1] or min(len(kept), len(trained)) < KEPT_POSITIONS:
        raise EditError(
            f"the text tower in {folder} has two tables of positions, {list(kept.shape)} and {list(trained.shape)}, "
            "which do not belong together"
        )
    return torch.cat([kept[:KEPT_POSITIONS], trained[KEPT_POSITIONS:]])


def _table_of(key: str) -> str:
    """ "kept" or "trained" of a text tower's table of positions; empty for any other weight."""
    if "vision" in key or "visual" in key or not _TABLE.search(key):
        return ""
    return "trained" if "_res" in key else "kept"


def _own_table_name(model: Any) -> str:
    names = [str(name) for name, _ in model.named_parameters()]
    return next(name for name in names if name.endswith("position_embedding.weight"))


def clip_tokenizer() -> Any:
    """CLIP's own, made from its vocabulary; every CLIP text tower of OpenAI's kind has this one."""
    import transformers

    marks = ("<|startoftext|>", "<|endoftext|>")
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = {symbol: number for number, symbol in enumerate([*symbols(), *marks])}
        Path(folder, "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
        lines = [" ".join(pair) for pair in merges()]
        Path(folder, "merges.txt").write_text("\n".join(["#version: 0.2", *lines]) + "\n", "utf-8")
        return transformers.CLIPTokenizer.from_pretrained(
            folder, bos_token=marks[0], eos_token=marks[1], pad_token=marks[1], unk_token=marks[1]
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
