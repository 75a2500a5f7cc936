"""HiCMAE's cross-modal fusion encoder (3.2), and the other flows of its Figure 5.

Shapes: B batch, N video tokens, M audio tokens, C width.
"""

from torch import Tensor, nn

from avf_training.models.attention import CrossBlock
from avf_training.models.config import ModelConfig


class FusionEncoder(nn.Module):
    """Both modalities attend to each other in every layer: to the values before that layer, or as `flow` says."""

    def __init__(self, config: ModelConfig, drop: float = 0.0) -> None:
        super().__init__()
        width, depth, heads = config.video.width, config.fusion_depth, config.fusion_heads
        ratio, eps = config.mlp_ratio, config.norm_eps
        self.flow = config.flow
        rates = [drop * layer / max(1, depth - 1) for layer in range(depth)]
        self.blocks = nn.ModuleList(CrossBlock(width, heads, ratio, eps, rate) for rate in rates)
        self.blocks_audio = nn.ModuleList(CrossBlock(width, heads, ratio, eps, rate) for rate in rates)
        self.norm, self.norm_audio = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)

    def forward(self, video_BNC: Tensor, audio_BMC: Tensor) -> tuple[Tensor, Tensor]:
        raw = video_BNC, audio_BMC
        for video_block, audio_block in zip(self.blocks, self.blocks_audio, strict=True):
            if self.flow == "raw_input":
                video_BNC, audio_BMC = video_block(video_BNC, raw[1]), audio_block(audio_BMC, raw[0])
            elif self.flow == "video_first":
                video_BNC = video_block(video_BNC, audio_BMC)
                audio_BMC = audio_block(audio_BMC, video_BNC)
            elif self.flow == "audio_first":
                audio_BMC = audio_block(audio_BMC, video_BNC)
                video_BNC = video_block(video_BNC, audio_BMC)
            else:
                video_BNC, audio_BMC = video_block(video_BNC, audio_BMC), audio_block(audio_BMC, video_BNC)
        return self.norm(video_BNC), self.norm_audio(audio_BMC)
