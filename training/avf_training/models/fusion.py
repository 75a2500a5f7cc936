"""HiCMAE's cross-modal fusion encoder (3.1.2, eq. 5 and 6), and the other information flows of its Figure 5.

Shapes: B batch, N video tokens, M audio tokens, C width.
"""

from torch import Tensor, nn

from avf_training.models.attention import BlockConfig, CrossBlock
from avf_training.models.config import ModelConfig


class FusionEncoder(nn.Module):
    """Layers in which both modalities attend to each other: to the previous layer's output, or as the flow says."""

    def __init__(self, config: ModelConfig, drop: float = 0.0) -> None:
        super().__init__()
        self.flow = config.information_flow
        width, depth, eps = config.video.width, config.fusion_depth, config.norm_eps
        block = BlockConfig(width=width, heads=config.fusion_heads, mlp_ratio=config.mlp_ratio, norm_eps=eps)
        rates = [drop * layer / max(1, depth - 1) for layer in range(depth)]
        self.blocks = nn.ModuleList(CrossBlock(block, rate) for rate in rates)
        self.blocks_audio = nn.ModuleList(CrossBlock(block, rate) for rate in rates)
        self.norm, self.norm_audio = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)

    def forward(self, video_BNC: Tensor, audio_BMC: Tensor) -> tuple[Tensor, Tensor]:
        """Return fused video (B, N, C) and audio (B, M, C)."""
        raw_video_BNC, raw_audio_BMC = video_BNC, audio_BMC
        for video_block, audio_block in zip(self.blocks, self.blocks_audio, strict=True):
            if self.flow == "raw_input":
                video_BNC, audio_BMC = video_block(video_BNC, raw_audio_BMC), audio_block(audio_BMC, raw_video_BNC)
            elif self.flow == "video_first":
                video_BNC = video_block(video_BNC, audio_BMC)
                audio_BMC = audio_block(audio_BMC, video_BNC)
            elif self.flow == "audio_first":
                audio_BMC = audio_block(audio_BMC, video_BNC)
                video_BNC = video_block(video_BNC, audio_BMC)
            else:  # both are computed from the values before the layer
                video_BNC, audio_BMC = video_block(video_BNC, audio_BMC), audio_block(audio_BMC, video_BNC)
        return self.norm(video_BNC), self.norm_audio(audio_BMC)
