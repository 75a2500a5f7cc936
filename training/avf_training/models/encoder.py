"""The encoder of one modality: embedding, fixed positions, and blocks over the visible tokens.

Shapes: B batch, N visible tokens, P values of a patch, K regions, S tokens of a region, C width.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from avf_training.models.attention import BlockConfig, ViTBlock
from avf_training.models.config import ModelConfig
from avf_training.models.lgi import LGIBlock
from avf_training.models.mask_sampling import region_order
from avf_training.models.patch_embed import (
    PatchEmbed,
    audio_embed,
    audio_patches,
    sincos_table,
    video_embed,
    video_patches,
)

Name = Literal["video", "audio"]
OutputTokens = Literal["local", "region", "both"]


def in_raster_order(local_BNC: Tensor, order_N: Tensor) -> Tensor:
    """Return local tokens (B, N, C), given in the order `order_N`, by time, then by place in a picture or by pitch."""
    in_time_BNC = torch.empty_like(local_BNC)
    in_time_BNC[:, order_N] = local_BNC
    return in_time_BNC


class EncoderOutputs(NamedTuple):
    """Features of an encoder, after its final norm."""

    layers: list[Tensor]  # (B, N, C) or (B, K, C) of each layer asked for
    regions: Tensor | None  # (B, K, C) region tokens of the last layer


class Encoder(nn.Module):
    """Blocks of `config.encoder` over video tubes or audio patches.

    Each layer's output goes through the same final norm. An LGI encoder takes tokens ordered by region. It outputs
    local tokens in pre-training, region tokens in fine-tuning (AVF-MAE++ 3.3), or local tokens and the region tokens of
    the last layer (`both`). A ViT encoder has local tokens only.
    """

    table_NC: Tensor  # buffers
    order_N: Tensor

    def __init__(self, config: ModelConfig, name: Name, output_tokens: OutputTokens, drop_path: float = 0.0) -> None:
        super().__init__()
        modality, geometry = config.modality(name), config.geometry
        self.name, self.geometry = name, geometry
        grid = geometry.video_grid if name == "video" else geometry.audio_grid
        self.embed: PatchEmbed = (video_embed if name == "video" else audio_embed)(geometry, modality.width)
        tokens = geometry.video_tokens if name == "video" else geometry.audio_tokens
        self.register_buffer("table_NC", sincos_table(tokens, modality.width), persistent=False)
        self.regions = config.regions(name) if config.encoder != "vit" else 0
        self.output_tokens: OutputTokens = output_tokens if self.regions else "local"
        self.checkpointing = False
        block = BlockConfig(
            width=modality.width, heads=modality.heads, mlp_ratio=config.mlp_ratio, norm_eps=config.norm_eps
        )
        rates = [drop_path * layer / max(1, modality.depth - 1) for layer in range(modality.depth)]
        order_N = torch.from_numpy(region_order(grid, modality.region)) if self.regions else torch.arange(tokens)
        self.register_buffer("order_N", order_N, persistent=False)
        if self.regions:
            improved = config.encoder == "lgi"
            self.region_tokens = nn.Parameter(torch.zeros(self.regions, modality.width))
            self.blocks = nn.ModuleList(LGIBlock(block, rate, improved) for rate in rates)
        else:
            self.blocks = nn.ModuleList(ViTBlock(block, rate) for rate in rates)
        self.norm: nn.Module = nn.LayerNorm(modality.width, config.norm_eps)

    def unused_modules(self) -> list[nn.Module]:
        """Return modules on which no output depends: stage IV of the last layer where only local tokens are output."""
        last = self.blocks[-1]
        return last.region_only_modules() if isinstance(last, LGIBlock) and self.output_tokens == "local" else []

    def forward(self, clips: Tensor, visible_BN: Tensor | None, layers: tuple[int, ...]) -> EncoderOutputs:
        """Return the features of `layers`, which rise and end with the last layer.

        clips: video (B, 3, T, H, W) or audio (B, 1, M, F). visible_BN: indices of the visible tokens, ordered by region
        for LGI encoders; None shows all tokens.
        """
        index = self.order_N[None] if visible_BN is None else visible_BN
        patches_BNP = (video_patches if self.name == "video" else audio_patches)(clips, self.geometry, index)
        x_BNC = self.embed(patches_BNP) + self.table_NC[index]
        return self._forward_lgi(x_BNC, layers) if self.regions else self._forward_vit(x_BNC, layers)

    def _forward_vit(self, x_BNC: Tensor, layers: tuple[int, ...]) -> EncoderOutputs:
        features = []
        for layer, block in enumerate(self.blocks):
            x_BNC = self._run(block, x_BNC)
            if layer in layers:
                features.append(self.norm(x_BNC))
        return EncoderOutputs(features, None)

    def _forward_lgi(self, x_BNC: Tensor, layers: tuple[int, ...]) -> EncoderOutputs:
        local_BKSC = x_BNC.unflatten(1, (self.regions, -1))
        # In the tokens' type: cat would promote mixed types.
        region_BK1C = self.region_tokens[None, :, None].expand(local_BKSC.shape[0], -1, 1, -1).to(local_BKSC.dtype)
        x, features = torch.cat((region_BK1C, local_BKSC), 2), []
        only_regions = self.output_tokens == "region"
        *blocks, last = self.blocks
        for layer, block in enumerate(blocks):
            x = self._run(block, x)
            if layer in layers:
                features.append(self.norm(x[:, :, 0] if only_regions else x[:, :, 1:].flatten(1, 2)))
        if self.output_tokens == "local":
            return EncoderOutputs([*features, self.norm(self._run(cast(LGIBlock, last).forward_local, x))], None)
        x = self._run(last, x)
        regions_BKC = self.norm(x[:, :, 0])
        return EncoderOutputs(
            [*features, regions_BKC if only_regions else self.norm(x[:, :, 1:].flatten(1, 2))], regions_BKC
        )

    def _run(self, block: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        if self.checkpointing and torch.is_grad_enabled():
            return cast(Tensor, checkpoint(block, x, use_reentrant=False))
        return block(x)
