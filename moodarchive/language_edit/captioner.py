"""A BLIP-2 whose language model is OPT: what it sees of a picture, and the captions that it writes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.func import functional_call

from moodarchive.errors import EditError

LAYERS = 3
"""Decoder layers that are edited, the last ones."""
MOST_TOKENS = 60
"""Of a caption that is written."""
_CONFIG = "config.json"
_REMEDY = "remedy: the folder of a BLIP-2 with OPT, such as Salesforce/blip2-opt-2.7b"


def require_editable(folder: Path, layers: int = LAYERS) -> None:
    """EditError unless config.json names a BLIP-2 whose OPT has ``layers`` decoder layers; reads nothing else."""
    try:
        config = json.loads((folder / _CONFIG).read_bytes())
        text = config["text_config"]
        kind, language = str(config["model_type"]), str(text["model_type"])
        depth = int(text.get("num_hidden_layers", 0))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EditError(f"{folder / _CONFIG} describes no BLIP-2: {str(error)[:200]!r}; {_REMEDY}") from None
    if kind != "blip-2" or language != "opt":
        raise EditError(
            f"{folder} is a {kind} with the language model {language}: its decoder has no blocks fc1 and fc2 that can "
            f"be edited; {_REMEDY}"
        )
    if depth < layers:
        raise EditError(f"the OPT in {folder} has {depth} layers, {layers} are edited; {_REMEDY}")


class Captioner:
    """The model, its tokenizer, and how pictures are prepared for it; its weights are never changed in place."""

    def __init__(self, *, model: Any, tokenizer: Any, side: int, mean: Sequence[float], std: Sequence[float]) -> None:
        """``side`` is that of the squashed pictures, whose channels are normalised by ``mean`` and ``std``."""
        self.model: Any = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self._side, self._mean, self._std = side, torch.tensor(mean), torch.tensor(std)
        language = self.model.language_model
        self.body: nn.Module = language.model
        """The decoder without its output layer; edited weights are named as in its ``state_dict``."""
        self.output: nn.Module = language.lm_head
        self.width = int(language.config.word_embed_proj_dim)
        self.positions = int(language.config.max_position_embeddings)
        end = tokenizer.eos_token_id
        self.end = int(language.config.eos_token_id if end is None else end)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = next(self.body.parameters()).device
        return device

    def weight_names(self, layers: int = LAYERS) -> tuple[str, ...]:
        """The weights that are edited: fc1 and fc2 of the last decoder layers, in the body's names."""
        body: Any = self.body
        depth = len(body.decoder.layers)
        return tuple(
            f"decoder.layers.{layer}.{name}.weight" for layer in range(depth - layers, depth) for name in ("fc1", "fc2")
        )

    def pixels(self, images: Sequence[Image.Image]) -> Tensor:
        """float32 [B, 3, side, side], squashed and normalised."""
        size = (self._side, self._side)
        arrays = [np.array(image.convert("RGB").resize(size, Image.Resampling.BICUBIC)) for image in images]
        unit = torch.from_numpy(np.stack(arrays)).float() / 255
        return ((unit - self._mean) / self._std).permute(0, 3, 1, 2).contiguous()

    @torch.no_grad()
    def see(self, images: Sequence[Image.Image]) -> Tensor:
        """[B, queries, width]: what the language model is given of each picture."""
        features = self.model.get_image_features(self.pixels(images).to(self.device)).pooler_output
        assert isinstance(features, Tensor)
        return features

    def ids(self, text: str, *, begins: bool = False) -> list[int]:
        """Tokens of a text; ``begins`` puts the tokenizer's opening mark before them."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=begins)["input_ids"]
        return ids

    def embed(self, picture: Tensor, ids: Sequence[int]) -> Tensor:
        """[1, queries + tokens, width] of a picture's states [queries, width] and the text after them."""
        tokens = torch.tensor([list(ids)], dtype=torch.long, device=self.device)
        embedded: Tensor = self.model.get_input_embeddings()(tokens)
        return torch.cat([picture[None].to(embedded), embedded], dim=1)

    def require_room(self, tokens: int) -> None:
        """EditError where a question and its answer are longer than the language model reads."""
        if tokens > self.positions:
            raise EditError(
                f"caption, instruction and answer take {tokens} tokens, the language model reads {self.positions}; "
                "remedy: a shorter caption or instruction"
            )

    def states(self, embeds: Tensor, weights: Mapping[str, Tensor] | None = None, **given: Any) -> Any:
        """The body's output under ``weights`` in place of its own of these names; its own stay as they are."""
        kwargs = {"inputs_embeds": embeds, **given}
        if "attention_mask" not in kwargs:
            kwargs["attention_mask"] = torch.ones(embeds.shape[:2], dtype=torch.long, device=embeds.device)
        return functional_call(self.body, dict(weights or {}), args=(), kwargs=kwargs)

    def answer_states(
        self, picture: Tensor, prompt: Sequence[int], answer: Sequence[int], weights: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """[answer, width]: the states that predict each token of ``answer``."""
        embeds = self.embed(picture, [*prompt, *answer])
        last: Tensor = self.states(embeds, weights, use_cache=False).last_hidden_state[0]
        return last[-len(answer) - 1 : -1]

    def logits(self, states: Tensor) -> Tensor:
        """[…, vocabulary] of the body's states."""
        logits: Tensor = self.output(states)
        return logits

    @torch.no_grad()
    def write(
        self,
        picture: Tensor,
        prompt: str,
        *,
        weights: Mapping[str, Tensor] | None = None,
        stop: str = "",
        most: int = MOST_TOKENS,
    ) -> str:
        """The likeliest token after each other, up to the end mark, ``stop`` or ``most`` tokens."""
        return self.write_each(picture[None], prompt, weights=weights, stop=stop, most=most)[0]

    @torch.no_grad()
    def write_each(
        self,
        pictures: Tensor,
        prompt: str,
        *,
        weights: Mapping[str, Tensor] | None = None,
        stop: str = "",
        most: int = MOST_TOKENS,
    ) -> list[str]:
        """As ``write``, of pictures [B, queries, width] in one pass a token; among others the last bits may differ."""
        ids, stop_ids = self.ids(prompt, begins=True), self.ids(stop) if stop else []
        embeds, cache = torch.cat([self.embed(picture, ids) for picture in pictures]), None
        length = embeds.shape[1]
        self.require_room(length + most)
        written: list[list[int]] = [[] for _ in pictures]
        going = set(range(len(written)))
        for _ in range(most):
            mask = torch.ones(len(written), length, dtype=torch.long, device=embeds.device)
            output = self.states(embeds, weights, attention_mask=mask, past_key_values=cache, use_cache=True)
            cache, length = output.past_key_values, length + 1
            tokens = self.logits(output.last_hidden_state[:, -1]).argmax(-1)
            for row, token in enumerate(tokens.tolist()):
                if row not in going:
                    continue
                if token != self.end:
                    written[row].append(token)
                    if not stop_ids or written[row][-len(stop_ids) :] != stop_ids:
                        continue
                    del written[row][-len(stop_ids) :]
                going.remove(row)
            if not going:
                break
            embeds = self.model.get_input_embeddings()(tokens[:, None])
        return [self.tokenizer.decode(each, skip_special_tokens=True).strip() for each in written]


def open_captioner(folder: Path, device: Any = "cpu", layers: int = LAYERS) -> Captioner:
    """The BLIP-2 of a folder, in float32: an edit's small steps would be rounded away in bfloat16.

    EditError where its language model has no such blocks, before anything is loaded, or where it cannot be read.
    """
    require_editable(folder, layers)
    from moodarchive.diffusion.parts import diffusion_library
    from moodarchive.models.torch_compat import import_torchvision_safely

    import_torchvision_safely()
    diffusion_library()  # quiets the library's bars
    from transformers import AutoTokenizer, Blip2ForConditionalGeneration

    reads: Any = Blip2ForConditionalGeneration.from_pretrained
    read_tokenizer: Any = AutoTokenizer.from_pretrained
    try:
        model = reads(folder, local_files_only=True, use_safetensors=True, dtype=torch.float32)
        tokenizer = read_tokenizer(folder, local_files_only=True)
        preparation = _read_preparation(folder)
        side, mean, std = preparation["size"]["height"], preparation["image_mean"], preparation["image_std"]
    except Exception as error:  # transformers raises anything from OSError to safetensors' own errors
        raise EditError(f"{folder} cannot be read as a BLIP-2: {str(error)[:200]}; {_REMEDY}") from error
    return Captioner(model=model.to(device), tokenizer=tokenizer, side=int(side), mean=mean, std=std)


def _read_preparation(folder: Path) -> dict[str, Any]:
    """How pictures are prepared, from either file that transformers writes."""
    file = folder / "preprocessor_config.json"
    if file.is_file():
        preparation: dict[str, Any] = json.loads(file.read_bytes())
        return preparation
    processor: dict[str, Any] = json.loads((folder / "processor_config.json").read_bytes())["image_processor"]
    return processor


def write_preparation(folder: Path, *, side: int, mean: Sequence[float], std: Sequence[float]) -> None:
    """Writes preprocessor_config.json as transformers reads it."""
    values = {
        "image_processor_type": "BlipImageProcessor",
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "rescale_factor": 1 / 255,
        "resample": 3,
        "image_mean": list(mean),
        "image_std": list(std),
        "size": {"height": side, "width": side},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(values, indent=1) + "\n")
