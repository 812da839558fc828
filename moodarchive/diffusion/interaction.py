"""How the language model's queries and the picture's latent meet: EPEM's EAI block and adapter (arXiv 2602.18016)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

_BASE = 10_000.0


def sines(height: int, width: int, size: int) -> Tensor:
    """float32 [height · width, size], rows first: a half for the row, a half for the column, each sine and cosine.

    ValueError where ``size`` is no multiple of 4.
    """
    if size % 4:
        raise ValueError(f"size = {size} must be a multiple of 4")
    count = size // 4
    frequencies = _BASE ** (-torch.arange(count, dtype=torch.float64) / count)
    rows, columns = (torch.arange(side, dtype=torch.float64)[:, None] * frequencies for side in (height, width))
    of_row, of_column = (torch.cat([angles.sin(), angles.cos()], 1) for angles in (rows, columns))
    table = torch.cat([of_row[:, None].expand(-1, width, -1), of_column[None].expand(height, -1, -1)], 2)
    return table.reshape(height * width, size).float()


class Attention(nn.Module):
    """Multi-head attention, from one sequence to another, of projections with bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, asking: Tensor, answering: Tensor) -> Tensor:
        """[B, N, width] of [B, N, width] and [B, M, width]."""
        attended = attend(self.query(asking), self.key(answering), self.value(answering), self.heads)
        projected: Tensor = self.out(attended)
        return projected


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V in ``heads`` parts of the width, d the width of a part."""
    query, key, value = (each.view(*each.shape[:2], heads, -1).transpose(1, 2) for each in (query, key, value))
    return scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


def mlp(before: int, hidden: int, after: int) -> nn.Sequential:
    """Two linear layers with a GELU between."""
    return nn.Sequential(nn.Linear(before, hidden), nn.GELU(), nn.Linear(hidden, after))


def set_to_zero(layer: nn.Module) -> None:
    """A linear layer that gives 0, and learns from there."""
    assert isinstance(layer, nn.Linear)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


class Interaction(nn.Module):
    """EAI, equations 3 and 4: the queries look at the picture, then the picture at the queries.

    The paper prints neither residuals nor norms. Each part here adds to what it reads, of which it sees the normed
    form, and begins at 0: a new block is the paper's row without it, q' = q and v' = v, to the bit, and leaves it by
    what it learns alone.
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.to_self, self.to_image, self.to_queries = (Attention(width, heads) for _ in range(3))
        self.mlp = mlp(width, hidden, width)
        self.before_self, self.before_image, self.before_mlp, self.before_queries = (
            nn.LayerNorm(width) for _ in range(4)
        )
        for last in (self.to_self.out, self.to_image.out, self.to_queries.out, self.mlp[-1]):
            set_to_zero(last)

    def forward(self, queries: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """(q', v') of q [B, N, width] and v [B, M, width]."""
        normed = self.before_self(queries)
        queries = queries + self.to_self(normed, normed)
        queries = queries + self.to_image(self.before_image(queries), image)
        queries = queries + self.mlp(self.before_mlp(queries))
        return queries, image + self.to_queries(self.before_queries(image), queries)


class Adapter(nn.Module):
    """The caption's states ask the picture: f [B, T, text width]. MLP3's last layer is 0, and so is f at first."""

    def __init__(self, text_width: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = mlp(text_width, width, width)
        self.key_value = mlp(width, width, width)
        self.out = mlp(width, width, text_width)
        set_to_zero(self.out[-1])

    def forward(self, text: Tensor, image: Tensor) -> Tensor:
        """Of q_t [B, T, text width] and v' [B, M, width]."""
        answering = self.key_value(image)
        added: Tensor = self.out(attend(self.query(text), answering, answering, self.heads))
        return added
