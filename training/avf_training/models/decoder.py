"""The decoder of one modality, with hierarchical skip connections (HiCMAE 3.1.3; AVF-MAE++ 3.2).

Shapes: B batch, N visible tokens, M mask tokens, C encoder width, D decoder width, P values of a patch.
"""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from avf_training.models.attention import BlockConfig, CrossBlock, ViTBlock
from avf_training.models.config import ModalityConfig, ModelConfig
from avf_training.models.patch_embed import sincos_table


class SkipDecoder(nn.Module):
    """Reconstructs patches from the visible tokens and from features of earlier encoder layers.

    The last blocks, one for each skip connection and the deepest first, attend to an encoder layer. The skipped
    features go through the same linear map as the main stream.
    """

    table_ND: Tensor  # a buffer

    def __init__(self, config: ModelConfig, modality: ModalityConfig, tokens: int, values: int) -> None:
        """Build the decoder of `modality` for so many tokens of a clip and values of a patch."""
        super().__init__()
        width = modality.decoder_width
        block = BlockConfig(
            width=width, heads=modality.decoder_heads, mlp_ratio=config.mlp_ratio, norm_eps=config.norm_eps
        )
        without_skip = modality.decoder_depth - len(config.skips)
        self.to_decoder = nn.Linear(modality.width, width, bias=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(ViTBlock(block) for _ in range(without_skip))
        self.blocks.extend(CrossBlock(block) for _ in config.skips)
        self.norm, self.head = nn.LayerNorm(width, config.norm_eps), nn.Linear(width, values)
        self.register_buffer("table_ND", sincos_table(tokens, width), persistent=False)
        self.checkpointing = False

    def forward(self, fused_BNC: Tensor, skips: list[Tensor], position_BN: Tensor, target_BM: Tensor) -> Tensor:
        """Return the predicted patches at the positions `target_BM`, (B, M, P).

        skips: encoder features (B, N, C), first layer first. position_BN: the position of each visible token.
        """
        position_BND = self.table_ND[position_BN]
        x = torch.cat((self.to_decoder(fused_BNC) + position_BND, self.mask_token + self.table_ND[target_BM]), 1)
        contexts: list[Tensor | None] = [None] * (len(self.blocks) - len(skips))
        contexts += [self.to_decoder(skip) + position_BND for skip in reversed(skips)]
        for number, (block, context) in enumerate(zip(self.blocks, contexts, strict=True)):
            # Visible tokens are not predicted, so in the last block only mask tokens are computed.
            last = target_BM.shape[1] if number == len(self.blocks) - 1 else None
            inputs = (x, last) if context is None else (x, context, last)
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, *inputs, use_reentrant=False)
            else:
                x = block(*inputs)
        return self.head(self.norm(x))
