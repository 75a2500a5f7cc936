"""The block of the Local-Global Interaction Transformer (LGI-Former), an encoder of a clip's tokens.

Its attention works inside regions, among region tokens, and between local and region tokens.

AVF-MAE++ 3.3, eq. 4 to 10; with `improved=False` the three stages of MAE-DFER. Shapes: B batch, K regions, S local
tokens of a region, N = K * S local tokens, C width.
"""

import torch
from torch import Tensor, nn

from avf_training.models.attention import BlockConfig, CrossAttention, FeedForward, SelfAttention
from avf_training.models.drop_path import DropPath


class LGIBlock(nn.Module):
    """One encoder layer on (B, K, 1 + S, C); the first token of each region is its region token.

    Stage I (eq. 4): local intra-region self-attention. Stage II (eq. 8): global inter-region self-attention of the
    region tokens. Stage III (eq. 9): local-global interaction, every local token attends to all region tokens. Stage IV
    (eq. 10, improved only): global-local interaction, every region token attends to all local tokens. One feed-forward
    network for both kinds of tokens follows. The block has 24C^2 + 31C parameters; 20C^2 + 24C without stage IV.
    """

    def __init__(self, config: BlockConfig, drop: float = 0.0, improved: bool = True) -> None:
        super().__init__()
        width, heads, eps = config.width, config.heads, config.norm_eps
        self.local_norm, self.local_attn = nn.LayerNorm(width, eps), SelfAttention(width, heads)
        self.region_norm, self.region_attn = nn.LayerNorm(width, eps), SelfAttention(width, heads)
        self.spread_norm, self.spread_context_norm = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.spread_attn = CrossAttention(width, heads)
        self.improved = improved
        if improved:
            self.gather_norm, self.gather_context_norm = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
            self.gather_attn = CrossAttention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, eps), FeedForward(width, config.mlp_ratio)
        self.drop = DropPath(drop)

    def forward(self, x_BKSC: Tensor) -> Tensor:
        """Return region and local tokens, (B, K, 1 + S, C)."""
        region_BKC, local_BNC = self._stages_1_to_3(x_BKSC)
        if self.improved:
            attended = self.gather_attn(self.gather_norm(region_BKC), self.gather_context_norm(local_BNC))
            region_BKC = region_BKC + self.drop(attended, 0)
        batch, regions, tokens, width = x_BKSC.shape
        local_BKSC = local_BNC.view(batch, regions, tokens - 1, width)
        x = torch.cat((region_BKC[:, :, None], local_BKSC), 2).flatten(0, 1)
        x = x + self.drop(self.mlp(self.norm2(x)), 1)
        return x.view(batch, regions, tokens, width)

    def forward_local(self, x_BKSC: Tensor) -> Tensor:
        """Return the local tokens only, (B, N, C): for the last layer of pre-training, whose region tokens are unused.

        Stage IV is skipped rather than computed and dropped, so that its parameters get no gradient at all.
        """
        _, local_BNC = self._stages_1_to_3(x_BKSC)
        return local_BNC + self.drop(self.mlp(self.norm2(local_BNC)), 2)

    def region_only_modules(self) -> list[nn.Module]:
        """Return the modules that `forward_local` does not use."""
        return [self.gather_norm, self.gather_context_norm, self.gather_attn] if self.improved else []

    def _stages_1_to_3(self, x_BKSC: Tensor) -> tuple[Tensor, Tensor]:
        """Return region tokens (B, K, C) and local tokens (B, N, C)."""
        batch = x_BKSC.shape[0]
        x = x_BKSC.flatten(0, 1)  # drop path acts on single regions here and in the feed-forward network
        x = x + self.drop(self.local_attn(self.local_norm(x)), 3)
        x = x.unflatten(0, (batch, -1))
        region_BKC, local_BNC = x[:, :, 0], x[:, :, 1:].flatten(1, 2)
        region_BKC = region_BKC + self.drop(self.region_attn(self.region_norm(region_BKC)), 4)
        attended = self.spread_attn(self.spread_norm(local_BNC), self.spread_context_norm(region_BKC))
        return region_BKC, local_BNC + self.drop(attended, 5)
