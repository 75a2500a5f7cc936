"""Attention with the original's biases, and the blocks of HiCMAE (3.2, 3.3).

Shapes: B batch, N M tokens, C width, H heads, E head width. Queries and values have a bias, keys have none: a bias of
the keys would move every score of a query alike.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def drop_path(rate: float) -> nn.Module:
    """Drops a whole row of a residual branch while training (stochastic depth)."""
    if not rate:
        return nn.Identity()
    from torchvision.ops import StochasticDepth  # seconds to import, and only training drops

    return StochasticDepth(rate, "row")


def attend(q_BNC: Tensor, k_BMC: Tensor, v_BMC: Tensor, heads: int) -> Tensor:
    """Scaled dot-product attention over `heads`: (B, N, C)."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q_BNC, k_BMC, v_BMC))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Tokens attend to each other. 4C^2 + 3C parameters."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x_BNC: Tensor, last: int | None = None) -> Tensor:
        """(B, N, C); with `last`, only the last so many tokens ask and are answered: (B, last, C)."""
        bias = torch.cat((self.q_bias, torch.zeros_like(self.v_bias), self.v_bias))
        if last is None or last == x_BNC.shape[1]:
            q, k, v = F.linear(x_BNC, self.qkv.weight, bias).chunk(3, -1)
        else:
            width = x_BNC.shape[2]
            q = F.linear(x_BNC[:, -last:], self.qkv.weight[:width], self.q_bias)
            k, v = F.linear(x_BNC, self.qkv.weight[width:], bias[width:]).chunk(2, -1)
        return self.proj(attend(q, k, v, self.heads))


class CrossAttention(nn.Module):
    """Tokens attend to those of a context. 4C^2 + 3C parameters."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width, bias=False)
        self.kv = nn.Linear(width, 2 * width, bias=False)
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x_BNC: Tensor, context_BMC: Tensor) -> Tensor:
        """(B, N, C)."""
        q = F.linear(x_BNC, self.q.weight, self.q_bias)
        kv_bias = torch.cat((torch.zeros_like(self.v_bias), self.v_bias))
        k, v = F.linear(context_BMC, self.kv.weight, kv_bias).chunk(2, -1)
        return self.proj(attend(q, k, v, self.heads))


class FeedForward(nn.Module):
    """Two linear maps with an exact GELU between. 8C^2 + 5C parameters at a ratio of 4."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, ratio * width), nn.Linear(ratio * width, width)

    def forward(self, x_BNC: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x_BNC)))


class ViTBlock(nn.Module):
    """Self-attention and feed-forward, normalised before each."""

    def __init__(self, width: int, heads: int, ratio: int, eps: float, drop: float = 0.0) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, eps), SelfAttention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, eps), FeedForward(width, ratio)
        self.drop = drop_path(drop)

    def forward(self, x_BNC: Tensor, last: int | None = None) -> Tensor:
        """(B, N, C); with `last`, only the last so many tokens come out: (B, last, C)."""
        answered = self.drop(self.attn(self.norm1(x_BNC), last))
        x = (x_BNC if last is None else x_BNC[:, -last:]) + answered
        return x + self.drop(self.mlp(self.norm2(x)))


class CrossBlock(nn.Module):
    """Cross-attention to a context, then self-attention and feed-forward (HiCMAE 3.3, 3.4)."""

    def __init__(self, width: int, heads: int, ratio: int, eps: float, drop: float = 0.0) -> None:
        super().__init__()
        self.cross_norm1, self.cross_norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.cross_attn = CrossAttention(width, heads)
        self.norm1, self.attn = nn.LayerNorm(width, eps), SelfAttention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, eps), FeedForward(width, ratio)
        self.drop = drop_path(drop)

    def forward(self, x_BNC: Tensor, context_BMC: Tensor, last: int | None = None) -> Tensor:
        """(B, N, C); with `last`, only the last so many tokens come out: (B, last, C)."""
        x = x_BNC + self.drop(self.cross_attn(self.cross_norm1(x_BNC), self.cross_norm2(context_BMC)))
        answered = self.drop(self.attn(self.norm1(x), last))
        x = (x if last is None else x[:, -last:]) + answered
        return x + self.drop(self.mlp(self.norm2(x)))
