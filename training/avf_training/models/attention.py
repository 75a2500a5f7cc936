"""Attention with the authors' biases, and the Transformer blocks of HiCMAE (3.1.2, 3.1.3).

Shapes: B batch, N tokens, M tokens of the context, C width. Queries and values have a bias, keys have none: a bias of
the keys would add the same number to all scores of a query, which the softmax cancels.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avf_training.models.drop_path import DropPath


@dataclass(frozen=True, kw_only=True)
class BlockConfig:
    """Sizes of one Transformer block."""

    width: int  # C
    heads: int  # attention heads
    mlp_ratio: int  # hidden width of the feed-forward network divided by the width
    norm_eps: float  # epsilon of the layer norms


def attend(q_BNC: Tensor, k_BMC: Tensor, v_BMC: Tensor, heads: int) -> Tensor:
    """Return scaled dot-product attention over `heads` heads, (B, N, C)."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q_BNC, k_BMC, v_BMC))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Multi-head self-attention (MHSA). It has 4C^2 + 3C parameters."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x_BNC: Tensor, last: int | None = None) -> Tensor:
        """Return (B, N, C); with `last`, only the last so many tokens are queries: (B, last, C)."""
        bias = torch.cat((self.q_bias, torch.zeros_like(self.v_bias), self.v_bias))
        if last is None or last == x_BNC.shape[1]:
            q, k, v = F.linear(x_BNC, self.qkv.weight, bias).chunk(3, -1)
        else:
            width = x_BNC.shape[2]
            q = F.linear(x_BNC[:, -last:], self.qkv.weight[:width], self.q_bias)
            k, v = F.linear(x_BNC, self.qkv.weight[width:], bias[width:]).chunk(2, -1)
        return self.proj(attend(q, k, v, self.heads))


class CrossAttention(nn.Module):
    """Multi-head cross-attention (MHCA) to the tokens of a context. It has 4C^2 + 3C parameters."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width, bias=False)
        self.kv = nn.Linear(width, 2 * width, bias=False)
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x_BNC: Tensor, context_BMC: Tensor) -> Tensor:
        """Return (B, N, C)."""
        q = F.linear(x_BNC, self.q.weight, self.q_bias)
        kv_bias = torch.cat((torch.zeros_like(self.v_bias), self.v_bias))
        k, v = F.linear(context_BMC, self.kv.weight, kv_bias).chunk(2, -1)
        return self.proj(attend(q, k, v, self.heads))


class FeedForward(nn.Module):
    """Two linear maps with an exact GELU between them (FFN). It has 8C^2 + 5C parameters at a ratio of 4."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, ratio * width), nn.Linear(ratio * width, width)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """Return (B, N, C)."""
        return self.fc2(F.gelu(self.fc1(x_BNC)))


class ViTBlock(nn.Module):
    """Self-attention and feed-forward network, each after a layer norm (HiCMAE eq. 1)."""

    def __init__(self, config: BlockConfig, drop: float = 0.0) -> None:
        super().__init__()
        width, heads, eps = config.width, config.heads, config.norm_eps
        self.norm1, self.attn = nn.LayerNorm(width, eps), SelfAttention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, eps), FeedForward(width, config.mlp_ratio)
        self.drop = DropPath(drop)

    def forward(self, x_BNC: Tensor, last: int | None = None) -> Tensor:
        """Return (B, N, C); with `last`, only the last so many tokens: (B, last, C)."""
        attended = self.drop(self.attn(self.norm1(x_BNC), last), 0)
        x = (x_BNC if last is None else x_BNC[:, -last:]) + attended
        return x + self.drop(self.mlp(self.norm2(x)), 1)


class CrossBlock(nn.Module):
    """Cross-attention to a context, then self-attention and feed-forward network (HiCMAE eq. 5 to 7)."""

    def __init__(self, config: BlockConfig, drop: float = 0.0) -> None:
        super().__init__()
        width, heads, eps = config.width, config.heads, config.norm_eps
        self.cross_norm1, self.cross_norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.cross_attn = CrossAttention(width, heads)
        self.norm1, self.attn = nn.LayerNorm(width, eps), SelfAttention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, eps), FeedForward(width, config.mlp_ratio)
        self.drop = DropPath(drop)

    def forward(self, x_BNC: Tensor, context_BMC: Tensor, last: int | None = None) -> Tensor:
        """Return (B, N, C); with `last`, only the last so many tokens: (B, last, C)."""
        x = x_BNC + self.drop(self.cross_attn(self.cross_norm1(x_BNC), self.cross_norm2(context_BMC)), 0)
        attended = self.drop(self.attn(self.norm1(x), last), 1)
        x = (x if last is None else x[:, -last:]) + attended
        return x + self.drop(self.mlp(self.norm2(x)), 2)
