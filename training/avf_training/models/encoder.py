"""One modality's encoder: embedding, fixed positions, and its blocks over the tokens it is shown.

Shapes: B batch, N tokens shown, P values of a patch, K regions, S tokens of a region, C width.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from avf_training.models.attention import ViTBlock
from avf_training.models.config import ModelConfig
from avf_training.models.lgi import LGIBlock
from avf_training.models.masking import region_order
from avf_training.models.patch_embed import (
    PatchEmbed,
    audio_embed,
    audio_patches,
    sincos_table,
    video_embed,
    video_patches,
)

Name = Literal["video", "audio"]
Gives = Literal["local", "region", "both"]


class EncoderOutputs(NamedTuple):
    """layers: normed output of those asked for, (B, N, C). regions: normed region tokens of the last, (B, K, C)."""

    layers: list[Tensor]
    regions: Tensor | None


class Encoder(nn.Module):
    """Blocks of `config.encoder` over tubes (`video`) or patches (`audio`).

    Each layer's output goes through the one final norm. An LGI encoder takes tokens ordered by region. It gives local
    tokens in pre-training, region tokens in fine-tuning (AVF-MAE++ 3.2), or local ones and the last layer's region
    tokens (`both`).
    """

    table_NC: Tensor  # buffers
    order_N: Tensor

    def __init__(self, config: ModelConfig, name: Name, gives: Gives, drop_path: float = 0.0) -> None:
        super().__init__()
        stream, geometry = config.modality(name), config.geometry
        self.name, self.geometry = name, geometry
        grid = geometry.video_grid if name == "video" else geometry.audio_grid
        self.embed: PatchEmbed = (video_embed if name == "video" else audio_embed)(geometry, stream.width)
        tokens = geometry.video_tokens if name == "video" else geometry.audio_tokens
        self.register_buffer("table_NC", sincos_table(tokens, stream.width), persistent=False)
        self.regions = config.regions(name) if config.encoder != "vit" else 0
        self.gives: Gives = gives if self.regions else "local"
        self.checkpointing = False
        shape = stream.width, stream.heads, config.mlp_ratio, config.norm_eps
        rates = [drop_path * layer / max(1, stream.depth - 1) for layer in range(stream.depth)]
        order_N = torch.from_numpy(region_order(grid, stream.region)) if self.regions else torch.arange(tokens)
        self.register_buffer("order_N", order_N, persistent=False)
        if self.regions:
            improved = config.encoder == "lgi"
            self.region_tokens = nn.Parameter(torch.zeros(self.regions, stream.width))
            self.blocks = nn.ModuleList(LGIBlock(*shape, drop=rate, improved=improved) for rate in rates)
        else:
            self.blocks = nn.ModuleList(ViTBlock(*shape, rate) for rate in rates)
        self.norm: nn.Module = nn.LayerNorm(stream.width, config.norm_eps)

    def unread(self) -> list[nn.Module]:
        """Modules that no output depends on: stage IV of the last layer where region tokens are not given."""
        last = self.blocks[-1]
        return last.only_for_regions() if isinstance(last, LGIBlock) and self.gives == "local" else []

    def forward(self, clips: Tensor, visible_BN: Tensor | None, wanted: tuple[int, ...]) -> EncoderOutputs:
        """The layers in `wanted` (rising, ending with the last).

        clips: video (B, 3, T, H, W) or sound (B, 1, M, F). visible_BN: the tokens shown, ordered by region for LGI;
        None shows all.
        """
        index = self.order_N[None] if visible_BN is None else visible_BN
        patches_BNP = (video_patches if self.name == "video" else audio_patches)(clips, self.geometry, index)
        x = self.embed(patches_BNP) + self.table_NC[index]
        return self._regional(x, wanted) if self.regions else self._plain(x, wanted)

    def _plain(self, x_BNC: Tensor, wanted: tuple[int, ...]) -> EncoderOutputs:
        found = []
        for layer, block in enumerate(self.blocks):
            x_BNC = self._run(block, x_BNC)
            if layer in wanted:
                found.append(self.norm(x_BNC))
        return EncoderOutputs(found, None)

    def _regional(self, x_BNC: Tensor, wanted: tuple[int, ...]) -> EncoderOutputs:
        local = x_BNC.unflatten(1, (self.regions, -1))
        tokens = self.region_tokens[None, :, None].expand(local.shape[0], -1, 1, -1).to(local.dtype)
        x, found = torch.cat((tokens, local), 2), []
        *others, last = self.blocks
        for layer, block in enumerate(others):
            x = self._run(block, x)
            if layer in wanted:
                found.append(self.norm(x[:, :, 0] if self.gives == "region" else x[:, :, 1:].flatten(1, 2)))
        if self.gives == "local":
            return EncoderOutputs([*found, self.norm(self._run(cast(LGIBlock, last).forward_local, x))], None)
        x = self._run(last, x)
        regions = self.norm(x[:, :, 0])
        return EncoderOutputs(
            [*found, regions if self.gives == "region" else self.norm(x[:, :, 1:].flatten(1, 2))], regions
        )

    def _run(self, block: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        if self.checkpointing and torch.is_grad_enabled():
            return cast(Tensor, checkpoint(block, x, use_reentrant=False))
        return block(x)
