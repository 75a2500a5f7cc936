"""The SUN team's audio-visual cross-attention (P4 3.3, three ways of joining).

Shapes: B windows, T steps, A width of the audio features, C width of the video features, O outputs.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avf_training.framewise.models.frame_head import FrameHead
from avf_training.framewise.models.layers import SequenceLayer, key_mask
from avf_training.framewise.models.valid_frames import apply_to_valid

Joining = Literal["concat", "mean", "mean_std"]
"""How two streams become one: side by side, their mean, or their mean beside their deviation."""


class StreamFusion(nn.Module):
    """Two streams ask each other twice, in turn, and are joined to one of the same width.

    The first stream is renewed before the second one asks for it. The deviation is the unbiased one of two values.
    """

    def __init__(self, width: int, joining: Joining, heads: int = 8, dropout: float = 0.1) -> None:
        super().__init__()
        self.joining = joining
        self.first = nn.ModuleList(SequenceLayer(width, heads, dropout) for _ in range(2))
        self.second = nn.ModuleList(SequenceLayer(width, heads, dropout) for _ in range(2))
        self.dense = nn.Linear(width if joining == "mean" else 2 * width, width)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, first_BTC: Tensor, second_BTC: Tensor, valid_BT: Tensor | None = None) -> Tensor:
        """Return (B, T, C). Steps that are not valid change no other step."""
        allowed = None if valid_BT is None else key_mask(valid_BT)
        for update_first, update_second in zip(self.first, self.second, strict=True):
            first_BTC = update_first(second_BTC, first_BTC, allowed_BTT=allowed)
            second_BTC = update_second(first_BTC, second_BTC, allowed_BTT=allowed)
        if self.joining == "concat":
            joined = torch.cat((first_BTC, second_BTC), -1)
        else:
            streams_2BTC = torch.stack((first_BTC, second_BTC))
            joined = streams_2BTC.mean(0)
            if self.joining == "mean_std":
                joined = torch.cat((joined, streams_2BTC.std(0)), -1)
        return F.relu(apply_to_valid(self.norm, self.dense(joined), valid_BT))


class AudioVisualModel(nn.Module):
    """Joins the video features of the valence model and of the arousal model, then the audio with both."""

    def __init__(
        self, joining: Joining, audio_width: int = 1024, video_width: int = 256, outputs: int = 2, heads: int = 8
    ) -> None:
        super().__init__()
        self.audio = nn.Linear(audio_width, video_width)
        self.video_fusion = StreamFusion(video_width, joining, heads)
        self.audio_fusion = StreamFusion(video_width, joining, heads)
        self.head = FrameHead(video_width, outputs)

    def forward(
        self, audio_BTA: Tensor, valence_BTC: Tensor, arousal_BTC: Tensor, valid_BT: Tensor | None = None
    ) -> Tensor:
        """Return (B, T, O)."""
        video_BTC = self.video_fusion(valence_BTC, arousal_BTC, valid_BT)
        audio_BTC = F.relu(self.audio(audio_BTA))
        return self.head(self.audio_fusion(audio_BTC, video_BTC, valid_BT))
