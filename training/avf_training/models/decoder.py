"""The decoder of one modality, with hierarchical skip connections (HiCMAE 3.4; AVF-MAE++ 3.1).

Shapes: B batch, N visible tokens, M mask tokens, C encoder width, D decoder width, P values of a patch.
"""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from avf_training.models.attention import CrossBlock, ViTBlock
from avf_training.models.config import ModalityConfig, ModelConfig
from avf_training.models.patch_embed import sincos_table


class SkipDecoder(nn.Module):
    """Reconstructs the patches at given places from the visible tokens and what the encoder's layers knew of them.

    The last blocks, one per skip and deepest first, attend to an encoder layer through the same map as the main stream.
    """

    table_ND: Tensor  # a buffer

    def __init__(self, config: ModelConfig, stream: ModalityConfig, tokens: int, values: int) -> None:
        super().__init__()
        width = stream.decoder_width
        shape = width, stream.decoder_heads, config.mlp_ratio, config.norm_eps
        plain = stream.decoder_depth - len(config.skips)
        self.to_decoder = nn.Linear(stream.width, width, bias=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(ViTBlock(*shape) for _ in range(plain))
        self.blocks.extend(CrossBlock(*shape) for _ in config.skips)
        self.norm, self.head = nn.LayerNorm(width, config.norm_eps), nn.Linear(width, values)
        self.register_buffer("table_ND", sincos_table(tokens, width), persistent=False)
        self.checkpointing = False

    def forward(self, fused_BNC: Tensor, skips: list[Tensor], position_BN: Tensor, target_BM: Tensor) -> Tensor:
        """Predicted patches at `target_BM`: (B, M, P). skips: encoder features (B, N, C), first layer first.

        position_BN: the place of each visible token.
        """
        seen_BND = self.table_ND[position_BN]
        x = torch.cat((self.to_decoder(fused_BNC) + seen_BND, self.mask_token + self.table_ND[target_BM]), 1)
        contexts: list[Tensor | None] = [None] * (len(self.blocks) - len(skips))
        contexts += [self.to_decoder(skip) + seen_BND for skip in reversed(skips)]
        for number, (block, context) in enumerate(zip(self.blocks, contexts, strict=True)):
            # Nobody reads what the last block says of visible tokens: only mask tokens ask there.
            last = target_BM.shape[1] if number == len(self.blocks) - 1 else None
            inputs = (x, last) if context is None else (x, context, last)
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, *inputs, use_reentrant=False)
            else:
                x = block(*inputs)
        return self.head(self.norm(x))
