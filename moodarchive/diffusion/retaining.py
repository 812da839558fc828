"""PER (EPEM, arXiv 2602.18016): what makes a frozen diffusion model follow a new caption and keep the picture.

o a picture, v its latent (the VAE's mode, unscaled), x the instruction, c^ the edited caption; U(z_t ‖ v, t, h) with
h = (CLIP("x c^") + f, q'). What is added to U is 0 at first: then U predicts what it did before, to the bit.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from moodarchive.diffusion.interaction import Adapter, Interaction, sines
from moodarchive.diffusion.queries import InstructedQFormer, Words
from moodarchive.diffusion.vision import read_json
from moodarchive.diffusion.widening import WidenedInput
from moodarchive.errors import EditError

WEIGHTS_FILE, CONFIG_FILE = "retaining.safetensors", "retaining.json"
VISION, READER = "vision", "qformer_tokenizer"
"""Folders beside the parts of the diffusion model."""
_QFORMER = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "hidden_act", "intermediate_size",
    "max_position_embeddings", "layer_norm_eps", "cross_attention_frequency", "encoder_hidden_size", "pad_token_id",
)  # fmt: skip
"""What of Blip2QFormerConfig is kept."""


@dataclass(frozen=True, kw_only=True)
class RetainingConfig:
    """The shapes of all that learns; ``attention`` is the width of each cross-attention of the UNet, in its order."""

    qformer: Mapping[str, Any]
    queries: int = 32
    instruction_tokens: int = 48
    channels: int = 4
    input_width: int = 320
    text_width: int = 768
    attention: tuple[int, ...] = ()
    heads: int = 8
    hidden: int = 2048
    eai: bool = True
    """Without it q' = q and v' = v: the paper's row "w/o EAI"."""

    @staticmethod
    def qformer_of(config: Mapping[str, Any]) -> dict[str, Any]:
        """A Q-Former's shape from a BLIP-2's configuration, which leaves out what is usual."""
        from transformers import Blip2QFormerConfig

        shape = Blip2QFormerConfig(**config)
        return {name: getattr(shape, name) for name in _QFORMER}


class Condition(NamedTuple):
    """h: the text's states and f [B, T, text width], and q' [B, queries, width]."""

    text: Tensor
    queries: Tensor


class Retaining(nn.Module):
    """All that learns, and nothing that does not: Q-Former, EAI, adapter, q's attention in U, U's new input channels.

    ``attach`` puts the last two into a UNet, which stays outside this module.
    """

    def __init__(self, config: RetainingConfig) -> None:
        super().__init__()
        from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0

        self.config = config
        self.qformer = InstructedQFormer(config.qformer, config.queries)
        width = self.qformer.width
        self.image_tokens = nn.Linear(config.channels, width)
        self.interaction = Interaction(width, config.heads, config.hidden) if config.eai else None
        self.adapter = Adapter(config.text_width, width, config.heads)
        make: Any = IPAdapterAttnProcessor2_0
        self.attention = nn.ModuleList(make(each, width, num_tokens=(config.queries,)) for each in config.attention)
        for processor in self.attention:
            nn.init.zeros_(processor.to_v_ip[0].weight)  # type: ignore[union-attr, index]
        self.image_input = nn.Conv2d(config.channels, config.input_width, 3, padding=1, bias=False)
        nn.init.zeros_(self.image_input.weight)

    def forward(
        self, *, seen: Tensor, image: Tensor, words: Words, text: Tensor, kept: Tensor | None = None
    ) -> Condition:
        """h of picture states, v [B, 4, h, w], instructions and the text's states.

        Where ``kept`` [B] is 0, f and q' are 0: the branch that guidance leads away from.
        """
        queries = self.qformer(words, seen)
        height, width = image.shape[-2:]
        places = sines(height, width, queries.shape[-1]).to(image)
        tokens = self.image_tokens(image.flatten(2).transpose(1, 2)) + places
        if self.interaction is not None:
            queries, tokens = self.interaction(queries, tokens)
        added = self.adapter(text, tokens)
        if kept is not None:
            shares = kept.to(added)[:, None, None]
            queries, added = queries * shares, added * shares
        return Condition(text + added, queries)

    def attach(self, unet: Any) -> Any:
        """Puts what U gains into a frozen UNet of four channels, in place; EditError where it has another shape."""
        from diffusers.models.attention_processor import AttnProcessor2_0

        if (widths := attention_widths(unet)) != self.config.attention:
            raise EditError(
                f"the UNet's cross-attentions have widths {widths}, the adapter is of {self.config.attention}; remedy: "
                "the base that it was trained on"
            )
        unet.requires_grad_(False)
        own = iter(self.attention)
        plain: Any = AttnProcessor2_0
        unet.set_attn_processor({name: next(own) if _is_cross(name) else plain() for name in unet.attn_processors})
        old = unet.conv_in.old if isinstance(unet.conv_in, WidenedInput) else unet.conv_in
        unet.conv_in = WidenedInput(old, self.image_input)
        return unet

    def save(self, folder: Path) -> None:
        """Writes weights and shapes beside the model's other parts."""
        from safetensors.torch import save_file

        save_file(
            {name: tensor.detach().contiguous().cpu() for name, tensor in self.state_dict().items()},
            folder / WEIGHTS_FILE,
        )
        (folder / WEIGHTS_FILE).chmod(0o644)  # safetensors leaves it readable by its owner alone
        (folder / CONFIG_FILE).write_text(json.dumps(asdict(self.config), indent=1, sort_keys=True) + "\n", "utf-8")


def predict_noise(unet: Any, noisy: Tensor, image: Tensor, times: Tensor, condition: Condition) -> Tensor:
    """U(z_t ‖ v, t, h), [B, 4, h, w], of a UNet to which ``Retaining.attach`` was done."""
    noise: Tensor = unet(
        torch.cat([noisy, image], 1), times, encoder_hidden_states=(condition.text, [condition.queries])
    ).sample
    return noise


def attention_widths(unet: Any) -> tuple[int, ...]:
    """Of each cross-attention, in the order of the UNet's processors."""
    names = [name for name in unet.attn_processors if _is_cross(name)]
    return tuple(int(unet.get_submodule(name.removesuffix(".processor")).inner_dim) for name in names)


def _is_cross(name: str) -> bool:
    return name.endswith("attn2.processor")


def make_retaining(config: RetainingConfig, seed: int) -> Retaining:
    """Random weights of the seed, but for those that are 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Retaining(config)


def open_retaining(folder: Path) -> Retaining:
    """What ``save`` wrote, in evaluation mode; EditError where it cannot be read."""
    from safetensors.torch import load_file

    config = read_retaining_config(folder)
    try:
        retaining = Retaining(config)
        retaining.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except Exception as error:  # safetensors has errors of its own, and a file of outside may hold anything
        raise EditError(f"the adapter in {folder} cannot be read: {str(error)[:200]}") from error
    return retaining.eval()


def read_retaining_config(folder: Path) -> RetainingConfig:
    """The shapes alone; EditError where the file says something else."""
    values = read_json(folder / CONFIG_FILE)
    try:
        return RetainingConfig(**{**values, "attention": tuple(values["attention"])})
    except (KeyError, TypeError) as error:
        raise EditError(f"{folder / CONFIG_FILE} is no adapter's configuration: {str(error)[:200]}") from None


def require_fitting_parts(unet: Path, vae: Path, text: Path, others: Sequence[tuple[str, Any, Any]] = ()) -> None:
    """EditError unless the parts' configurations fit together; no weight is read.

    ``others`` are (what, its width, the width that is wanted).
    """
    of_unet, of_vae, of_text = (read_json(folder / "config.json") for folder in (unet, vae, text))
    channels, latent = of_unet.get("in_channels"), of_vae.get("latent_channels")
    if channels != latent or channels != of_unet.get("out_channels"):
        raise EditError(
            f"the UNet in {unet} takes {channels} channels, its VAE gives {latent}: a model for inpainting or for "
            "instruct-pix2pix; remedy: a plain base of the SD 1.5 family, which EPEM widens by itself"
        )
    width = of_text.get("hidden_size", of_text.get("text_config", {}).get("hidden_size"))
    wanted = [("the text tower", width, of_unet.get("cross_attention_dim")), *others]
    for what, own, needed in wanted:
        if own != needed:
            raise EditError(
                f"{what} has width {own}, wanted is {needed} for the UNet in {unet}; remedy: parts of one base, or the "
                "text tower that it was trained with"
            )
