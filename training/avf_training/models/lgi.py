"""LGI-Former's block: local attention in regions, region tokens among themselves, and the two ways between.

AVF-MAE++ 3.2, eq. 4 to 10; three stages as in MAE-DFER with `improved=False`. Shapes: B batch, K regions, S local
tokens of a region, C width.
"""

import torch
from torch import Tensor, nn

from avf_training.models.attention import CrossAttention, FeedForward, SelfAttention, drop_path


class LGIBlock(nn.Module):
    """(B, K, 1 + S, C) -> the same; the first token of each region is its region token.

    Stages: I self-attention inside each region, II of the region tokens, III every local token asks all region tokens,
    IV every region token asks all local tokens (improved only), V one feed-forward for both kinds.
    24C^2 + 31C parameters; 20C^2 without stage IV.
    """

    def __init__(
        self, width: int, heads: int, ratio: int, eps: float, *, drop: float = 0.0, improved: bool = True
    ) -> None:
        super().__init__()
        self.local_norm, self.local_attn = nn.LayerNorm(width, eps), SelfAttention(width, heads)
        self.region_norm, self.region_attn = nn.LayerNorm(width, eps), SelfAttention(width, heads)
        self.spread_norm, self.spread_context_norm = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.spread_attn = CrossAttention(width, heads)
        self.improved = improved
        if improved:
            self.gather_norm, self.gather_context_norm = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
            self.gather_attn = CrossAttention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, eps), FeedForward(width, ratio)
        self.drop = drop_path(drop)

    def forward(self, x_BKSC: Tensor) -> Tensor:
        region_BKC, local_BNC = self._stages(x_BKSC)
        if self.improved:
            asked = self.gather_attn(self.gather_norm(region_BKC), self.gather_context_norm(local_BNC))
            region_BKC = region_BKC + self.drop(asked)
        batch, regions, one_more, width = x_BKSC.shape
        local_BKSC = local_BNC.view(batch, regions, one_more - 1, width)
        x = torch.cat((region_BKC[:, :, None], local_BKSC), 2).flatten(0, 1)
        x = x + self.drop(self.mlp(self.norm2(x)))
        return x.view(batch, regions, one_more, width)

    def forward_local(self, x_BKSC: Tensor) -> Tensor:
        """Only the local tokens, (B, K * S, C): the last layer of pre-training, whose region tokens nobody reads."""
        _, local_BNC = self._stages(x_BKSC)
        return local_BNC + self.drop(self.mlp(self.norm2(local_BNC)))

    def only_for_regions(self) -> list[nn.Module]:
        """What `forward_local` leaves out."""
        return [self.gather_norm, self.gather_context_norm, self.gather_attn] if self.improved else []

    def _stages(self, x_BKSC: Tensor) -> tuple[Tensor, Tensor]:
        """Stages I to III: region tokens (B, K, C) and local tokens (B, K * S, C)."""
        batch = x_BKSC.shape[0]
        x = x_BKSC.flatten(0, 1)  # drop path acts on single regions here
        x = x + self.drop(self.local_attn(self.local_norm(x)))
        x = x.unflatten(0, (batch, -1))
        region_BKC, local_BNC = x[:, :, 0], x[:, :, 1:].flatten(1, 2)
        region_BKC = region_BKC + self.drop(self.region_attn(self.region_norm(region_BKC)))
        asked = self.spread_attn(self.spread_norm(local_BNC), self.spread_context_norm(region_BKC))
        return region_BKC, local_BNC + self.drop(asked)
