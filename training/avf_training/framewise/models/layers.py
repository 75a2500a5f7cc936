"""The transformer layer of the SUN team's temporal, acoustic and fusion models (P4 3.2.3).

Shapes: B batch, T time steps, C width. Sine and cosine positions are added in every layer, to queries, keys and values
alike, and the residual path takes the query with its positions. Layer norms come after each sum.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_POSITIONS = 5000
"""Time steps that the authors' table of positions has; longer inputs are refused."""


def position_table(steps: int, width: int) -> Tensor:
    """Return sines and cosines in turn, wavelengths up to 10000 * 2 pi, (T, C) in float32. `width` is even."""
    exponent_K = torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10000.0) / width)
    rate_K = exponent_K.double().exp().float()  # processors round exp of float32 in their own ways
    angle_TK = torch.arange(steps, dtype=torch.float32)[:, None] * rate_K
    return torch.stack((angle_TK.sin(), angle_TK.cos()), -1).flatten(1)


class Positions(nn.Module):
    """Adds the table of positions, then drops values."""

    def __init__(self, width: int, dropout: float, steps: int = MAX_POSITIONS) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("table_TC", position_table(steps, width), persistent=False)
        self.table_TC: Tensor

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Return (B, T, C). Raises ValueError for more steps than the table has."""
        steps = x_BTC.shape[1]
        if steps > len(self.table_TC):
            raise ValueError(f"{steps} time steps; the table of positions has {len(self.table_TC)}")
        return self.dropout(x_BTC + self.table_TC[:steps].to(x_BTC.dtype))


class SequenceAttention(nn.Module):
    """Multi-head attention without biases and without dropout of its weights. It has 4C^2 parameters."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"a width of {width} is not divided by {heads} heads")
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, query_BTC: Tensor, key_BTC: Tensor, value_BTC: Tensor, allowed_BTT: Tensor | None) -> Tensor:
        """Return (B, T, C). `allowed_BTT`: key u counts for query t; a query without a key gets zeros."""
        q, k, v = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project, x in ((self.query, query_BTC), (self.key, key_BTC), (self.value, value_BTC))
        )
        if allowed_BTT is None:
            attended = F.scaled_dot_product_attention(q, k, v)
        else:
            hidden = ~allowed_BTT[:, None]
            scores = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).masked_fill(hidden, -100_000.0)
            attended = scores.softmax(-1).masked_fill(hidden, 0.0) @ v
        return self.out(attended.transpose(1, 2).flatten(2))


class SequenceLayer(nn.Module):
    """Attention and a feed-forward network of the same width. It has 6C^2 + 6C parameters.

    The authors' layer holds another layer norm of 2C parameters that it never uses; it is left out here.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.positions = Positions(width, dropout)
        self.attention = SequenceAttention(width, heads)
        self.attention_norm = nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, width), nn.Linear(width, width)
        self.ffn_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        query_BTC: Tensor,
        context_BTC: Tensor | None = None,
        value_BTC: Tensor | None = None,
        allowed_BTT: Tensor | None = None,
    ) -> Tensor:
        """Return (B, T, C): attention of the queries to a context (default: themselves), then the feed-forward part.

        `value_BTC` are other values than the context's. `allowed_BTT` masks keys, see `key_mask`.
        """
        context = query_BTC if context_BTC is None else context_BTC
        query = self.positions(query_BTC)
        key, value = self.positions(context), self.positions(context if value_BTC is None else value_BTC)
        x = self.attention_norm(self.dropout(self.attention(query, key, value, allowed_BTT)) + query)
        hidden = F.relu(self.dropout(self.widen(x)))
        return self.ffn_norm(self.dropout(self.narrow(hidden)) + x)


def key_mask(valid_keys_BT: Tensor, valid_queries_BT: Tensor | None = None) -> Tensor:
    """Return which key counts for which query, (B, T, T), from the steps that hold something (True)."""
    queries_BT = torch.ones_like(valid_keys_BT) if valid_queries_BT is None else valid_queries_BT
    return queries_BT[:, :, None] & valid_keys_BT[:, None, :]
