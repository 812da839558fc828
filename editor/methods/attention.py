"""Attention control (equations 6 and 7): every attention layer of the UNet follows the source outside the mask.

Rows of an attention map are pixels, so equation 7's choice between the source's and the target's map is one between
the layers' outputs at each pixel; outputs are blend, because the columns of the two branches' cross-attention are
words of different prompts. With a source caption, prompt-to-prompt's refinement works inside the mask: a target word
that the caption has too attends where the source's does. To keep structure, self-attention may take the source's
queries and keys with the target's values, inside the mask too (as in the papers of prompt-to-prompt and InfEdit).
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from editor.methods.alignment import Alignment
from editor.methods.masks import blend
from moodarchive.errors import EditError


@dataclass(kw_only=True)
class Control:
    """What the layers do at this step; the loop sets it, all processors share it.

    The UNet's rows are blocks of ``batch`` edits, one block a role. ``pairs`` names (target block, its source block),
    the conditional one first. ``weights`` holds the masks as [batch, 1, N, 1] by the number of pixels N of a layer.
    """

    refine: bool = False
    keep_structure: bool = False
    batch: int = 0
    pairs: tuple[tuple[int, int], ...] = ()
    weights: dict[int, Tensor] = field(default_factory=dict)
    alignment: Alignment | None = None

    def acts(self) -> bool:
        """False where refining would change nothing: no caption to align to, and masks that are 1 everywhere."""
        return self.alignment is not None or any(bool((weights != 1).any()) for weights in self.weights.values())

    def tensors(self) -> dict[str, Tensor]:
        """All tensors that the layers read, by name; empty while nothing is refined."""
        if not self.refine:
            return {}
        named = {f"weights {pixels}": weights for pixels, weights in self.weights.items()}
        if self.alignment is not None:
            named |= {"alignment indices": self.alignment.indices, "alignment aligned": self.alignment.aligned}
        return named

    def take_tensors(self, named: Mapping[str, Tensor]) -> None:
        """Reads these from now on, as ``tensors`` named them."""
        if not self.refine:
            return
        self.weights = {pixels: named[f"weights {pixels}"] for pixels in self.weights}
        if self.alignment is not None:
            self.alignment = Alignment(indices=named["alignment indices"], aligned=named["alignment aligned"])

    def key(self) -> Hashable:
        """What else the layers' work depends on."""
        if not (self.refine or self.keep_structure):
            return None
        aligned = self.refine and self.alignment is not None
        return self.batch, self.pairs, self.refine, self.keep_structure, aligned

    def rows(self, block: int) -> slice:
        return slice(block * self.batch, (block + 1) * self.batch)


class ControlledAttention:
    """An attention processor of diffusers: plain attention, whose outputs are blend while the control says so."""

    def __init__(self, control: Control) -> None:
        self.control = control

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any
    ) -> Tensor:
        """[rows, N, C] in, the same out; ``encoder_hidden_states`` [rows, L, W] makes it cross-attention."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            layer(states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for layer, states in ((attn.to_q, hidden_states), (attn.to_k, context), (attn.to_v, context))
        )
        if self.control.keep_structure and encoder_hidden_states is None:
            query, key = self._take_sources(query), self._take_sources(key)
        outputs = scaled_dot_product_attention(query, key, value, scale=attn.scale)
        if self.control.refine:
            self._refine(outputs, query, key, value, crosses=encoder_hidden_states is not None, scale=attn.scale)
        projected: Tensor = attn.to_out[0](outputs.transpose(1, 2).flatten(2))
        return projected

    def _take_sources(self, states: Tensor) -> Tensor:
        """[rows, heads, N, d]: each target's are its source's."""
        taken = states.clone()
        for target, source in self.control.pairs:
            taken[self.control.rows(target)] = states[self.control.rows(source)]
        return taken

    def _refine(
        self, outputs: Tensor, query: Tensor, key: Tensor, value: Tensor, *, crosses: bool, scale: float
    ) -> None:
        """Equation 7, in place on ``outputs`` [rows, heads, N, d]."""
        control = self.control
        if crosses and control.alignment is not None:
            target, source = (control.rows(block) for block in control.pairs[0])
            ours, theirs = (
                (query[rows] @ key[rows].transpose(-1, -2) * scale).float().softmax(-1) for rows in (target, source)
            )
            outputs[target] = _align_map(ours, theirs, control.alignment).to(value.dtype) @ value[target]
        weights = control.weights[outputs.shape[2]].to(outputs.dtype)
        for target_block, source_block in control.pairs:
            target, source = control.rows(target_block), control.rows(source_block)
            outputs[target] = blend(outputs[source], outputs[target], weights)


def _align_map(target: Tensor, source: Tensor, alignment: Alignment) -> Tensor:
    """[B, heads, N, L]: the source's columns where the target's word stands in the source's caption, else its own."""
    indices = alignment.indices[:, None, None].expand_as(target)
    return torch.where(alignment.aligned[:, None, None], source.gather(-1, indices), target)


def take_control(unet: Any) -> Control:
    """Puts a controlled processor on every attention layer, self and cross; they share the control that is returned."""
    control = Control()
    for name, layer in unet.named_modules():
        if not hasattr(layer, "set_processor"):
            continue
        unusual = [
            part
            for part in ("spatial_norm", "group_norm", "norm_q", "norm_cross", "add_k_proj")
            if getattr(layer, part, None) is not None
        ]
        if unusual or layer.residual_connection or layer.rescale_output_factor != 1:
            raise EditError(
                f"the UNet's layer {name} is no attention of Stable Diffusion 1's kind ({', '.join(unusual)}); "
                "remedy: a base of the SD 1.5 family"
            )
        layer.set_processor(ControlledAttention(control))
    return control
