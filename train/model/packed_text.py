"""Runs open_clip's text blocks over packed texts: every token once, causal attention within each text alone.

Of the last block only each text's last token is read, so only that one asks, and only it passes the block's MLP.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from train.data.texts import Texts

Compile = Callable[[Callable[..., Tensor]], Callable[..., Tensor]]


class PackedTower:
    """The blocks of a text transformer on a packed sequence.

    Where torch has the kernel for sequences of varying length (``torch.nn.attention.varlen``: a GPU of compute
    capability 8.0 or later, half precision), each block is one function and its attention one call. Elsewhere the
    attention is called once for each length: texts of one length lie side by side, so that nothing is copied or padded.
    """

    def __init__(self, transformer: nn.Module, context: int) -> None:
        self.transformer, self.context, self._is_compiled = transformer, context, False
        self._project, self._finish, self._block = _project, _finish, _block_with_kernel()

    def compile(self, compile_function: Compile) -> None:
        """Compiles the blocks; one function serves all blocks and any number of tokens and texts."""
        self._is_compiled = True
        self._project, self._finish = compile_function(_project), compile_function(_finish)
        self._block = compile_function(_block_with_kernel())

    def __call__(self, tokens: Tensor, texts: Texts) -> Tensor:
        """[texts, W] of [T, W] embedded tokens: the last token of each text, in the order of ``texts.bounds``."""
        blocks: Any = self.transformer.get_submodule("resblocks")
        saves_memory = bool(self.transformer.grad_checkpointing) and torch.is_grad_enabled()
        for number, block in enumerate(blocks):
            apply = self._apply if number < len(blocks) - 1 else _apply_to_ends
            if saves_memory:
                tokens = checkpoint(apply, block, tokens, texts, use_reentrant=False, preserve_rng_state=False)
            else:
                tokens = apply(block, tokens, texts)
        return tokens

    def _apply(self, block: Any, tokens: Tensor, texts: Texts) -> Tensor:
        self._mark_any_size(tokens)
        if has_kernel(tokens, block.attn.head_dim):
            # the context as longest text: a number that changed from step to step would be compiled anew
            return self._block(block, tokens, self._mark_any_size(texts.bounds), self.context)
        projected = self._project(block, tokens)
        return self._finish(block, tokens, self._mark_any_size(_attend_by_length(projected, texts.runs)))

    def _mark_any_size(self, tensor: Tensor) -> Tensor:
        """The tensor; what is compiled for it serves other lengths of its first axis, too."""
        if self._is_compiled:
            torch._dynamo.maybe_mark_dynamic(tensor, 0)
        return tensor


def _apply_to_ends(block: Any, tokens: Tensor, texts: Texts) -> Tensor:
    """[texts, W]: the block's last token of each text, which attends to all tokens of its own text.

    It is not compiled: beside the keys and values it computes a row a text.
    """
    attention, ends = block.attn, texts.bounds[1:] - 1
    normed, width = block.ln_1(tokens), tokens.shape[1]
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    query = functional.linear(normed[ends], weight[:width], bias[:width])
    query = query.reshape(-1, attention.num_heads, attention.head_dim)
    projected = functional.linear(normed, weight[width:], bias[width:])
    projected = projected.reshape(len(tokens), 2, attention.num_heads, attention.head_dim)
    if has_kernel(tokens, attention.head_dim):
        attend, one_each = _varlen(), torch.arange(len(texts.bounds), dtype=torch.int32, device=tokens.device)
        longest = texts.runs[-1][1]
        attended = attend(query, *projected.unbind(1), one_each, texts.bounds, 1, longest)
    else:
        attended = _attend_ends_by_length(query, projected, texts.runs)
    return _finish(block, tokens[ends], attended)


def _attend_ends_by_length(query: Tensor, projected: Tensor, runs: Sequence[tuple[int, int]]) -> Tensor:
    """[texts, heads, width of a head]: one call for all texts of a length."""
    queries = torch.split(query, [count for count, _ in runs])
    parts = torch.split(projected, [count * length for count, length in runs])
    attended = []
    for ask, part, (texts, length) in zip(queries, parts, runs, strict=True):
        key, value = part.reshape(texts, length, *part.shape[1:]).permute(2, 0, 3, 1, 4)
        of_run = functional.scaled_dot_product_attention(ask[:, :, None], key, value)
        attended.append(of_run[:, :, 0])
    return torch.cat(attended)


def _block_with_kernel() -> Callable[..., Tensor]:
    """A whole block as one function of block, tokens, bounds and the longest text's length."""
    attend = _varlen()
    # releases differ in how causal attention is asked for
    by_window = attend is not None and "window_size" in inspect.signature(attend).parameters
    causal: dict[str, Any] = {"window_size": (-1, 0)} if by_window else {"is_causal": True}

    def block_with_kernel(block: Any, tokens: Tensor, bounds: Tensor, longest: int) -> Tensor:
        query, key, value = _project(block, tokens).unbind(1)
        return _finish(block, tokens, attend(query, key, value, bounds, bounds, longest, longest, **causal))

    return block_with_kernel


def _project(block: Any, tokens: Tensor) -> Tensor:
    """[T, 3, heads, width of a head]: queries, keys and values."""
    attention = block.attn
    projected: Tensor = functional.linear(block.ln_1(tokens), attention.in_proj_weight, attention.in_proj_bias)
    return projected.reshape(len(tokens), 3, attention.num_heads, attention.head_dim)


def _finish(block: Any, tokens: Tensor, attended: Tensor) -> Tensor:
    """The rest of the block after its attention, [T, heads, width of a head]."""
    tokens = tokens + block.ls_1(block.attn.out_proj(attended.flatten(1)))
    finished: Tensor = tokens + block.ls_2(block.mlp(block.ln_2(tokens)))
    return finished


def _attend_by_length(projected: Tensor, runs: Sequence[tuple[int, int]]) -> Tensor:
    """[T, heads, width of a head]: one call for all texts of a length, which are neighbours."""
    attended = []
    for part, (texts, length) in zip(
        torch.split(projected, [count * length for count, length in runs]), runs, strict=True
    ):
        query, key, value = part.reshape(texts, length, *part.shape[1:]).permute(2, 0, 3, 1, 4)
        of_run = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        attended.append(of_run.transpose(1, 2).flatten(0, 1))
    return torch.cat(attended)


def has_kernel(tokens: Tensor, head_width: int) -> bool:
    """True where torch.nn.attention.varlen runs on what the tokens are projected to."""
    kind = tokens.device.type
    if kind != "cuda" or head_width % 8 or head_width > 256 or _varlen() is None:
        return False
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else tokens.dtype
    return dtype in (torch.bfloat16, torch.float16) and torch.cuda.get_device_capability(tokens.device) >= (8, 0)


@cache
def _varlen() -> Any:
    """The kernel's function; None in a torch without it."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn
