"""HiCMAE's cross-modal fusion encoder (3.2).

Shapes: B batch, N video tokens, M audio tokens, C width.
"""

from torch import Tensor, nn

from avf_training.models.attention import CrossBlock


class FusionEncoder(nn.Module):
    """Both modalities attend to each other in every layer, from the values before that layer."""

    def __init__(self, width: int, depth: int, heads: int, ratio: int, eps: float, drop: float = 0.0) -> None:
        super().__init__()
        rates = [drop * layer / max(1, depth - 1) for layer in range(depth)]
        self.blocks = nn.ModuleList(CrossBlock(width, heads, ratio, eps, rate) for rate in rates)
        self.blocks_audio = nn.ModuleList(CrossBlock(width, heads, ratio, eps, rate) for rate in rates)
        self.norm, self.norm_audio = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)

    def forward(self, video_BNC: Tensor, audio_BMC: Tensor) -> tuple[Tensor, Tensor]:
        for video_block, audio_block in zip(self.blocks, self.blocks_audio, strict=True):
            video_BNC, audio_BMC = video_block(video_BNC, audio_BMC), audio_block(audio_BMC, video_BNC)
        return self.norm(video_BNC), self.norm_audio(audio_BMC)
