"""The SUN team's models of a window of sound and picture (the final fusion of their code): v1, v3, v4 and v5.

v2 is not here: of its tensors the number of parameters is known (1,313,538, which two more attentions with batch norm
than v1 would have), but neither their names nor the order in which they are called, nor any output to check them with.

Shapes: B windows, U steps of audio (one each second, 4), T steps of video (five each second, 20), A width of audio,
C width of video, O outputs. No output has an activation, no attention a residual path.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avf_training.framewise.models.layers import Positions, SequenceAttention
from avf_training.framewise.models.valid_frames import apply_to_valid

FinalVersion = Literal["v1", "v3", "v4", "v5"]
AUDIO_STEPS, VIDEO_STEPS, STEPS_PER_SECOND = 4, 20, 5
HEADS, DROPOUT = 16, 0.1


class AttentionFusion(nn.Module):
    """Two attentions, each ended by a batch norm over batch and time (v1, v3, v5).

    v1: five answers a second; video asks audio twice. v3: one a second; video asks audio, then itself. v5: one a
    second; both streams, one after the other, ask themselves, and the answers at the steps of audio count.
    """

    def __init__(
        self, version: Literal["v1", "v3", "v5"], outputs: int, audio_width: int = 1024, width: int = 256
    ) -> None:
        super().__init__()
        self.version = version
        self.audio = nn.Linear(audio_width, width)
        each_second = version != "v1"
        self.video = nn.Conv1d(width, width, STEPS_PER_SECOND, stride=STEPS_PER_SECOND) if each_second else None
        self.audio_positions = Positions(width, DROPOUT, AUDIO_STEPS)
        self.video_positions = Positions(width, DROPOUT, AUDIO_STEPS if each_second else VIDEO_STEPS)
        self.attentions = nn.ModuleList(SequenceAttention(width, HEADS) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(2))
        self.head = nn.Linear(width, outputs)

    def forward(self, audio_BUA: Tensor, video_BTC: Tensor) -> Tensor:
        """Return (B, T, O); each answer of v3 and v5 stands five times.

        Raises ValueError for streams of different lengths, and for longer ones than the tables of positions.
        """
        if video_BTC.shape[1] != STEPS_PER_SECOND * audio_BUA.shape[1]:
            raise ValueError(
                f"{audio_BUA.shape[1]} steps of audio and {video_BTC.shape[1]} of video; "
                f"each second has one and {STEPS_PER_SECOND}"
            )
        audio_BUC = self.audio_positions(F.gelu(self.audio(audio_BUA)))
        if self.video is not None:
            video_BTC = self.video(video_BTC.transpose(1, 2)).transpose(1, 2)
        video_BTC = self.video_positions(video_BTC)
        if self.version == "v5":
            x_BSC = torch.cat((audio_BUC, video_BTC), 1)
            x_BSC = self._attend(0, x_BSC, x_BSC)
            x_BSC = self._attend(1, x_BSC, x_BSC)[:, : audio_BUC.shape[1]]
        else:
            x_BSC = self.video_positions(self._attend(0, video_BTC, audio_BUC))
            x_BSC = self._attend(1, x_BSC, audio_BUC if self.version == "v1" else video_BTC)
        out_BSO: Tensor = self.head(x_BSC)
        return out_BSO if self.video is None else out_BSO.repeat_interleave(STEPS_PER_SECOND, 1)

    def _attend(self, number: int, query_BTC: Tensor, context_BSC: Tensor) -> Tensor:
        attended_BTC = self.attentions[number](query_BTC, context_BSC, context_BSC, None)
        return apply_to_valid(self.norms[number], attended_BTC, None)


class MeanFusion(nn.Module):
    """One answer for a window, from the means of both streams over time (v4)."""

    def __init__(self, outputs: int, audio_width: int = 1024, width: int = 256) -> None:
        super().__init__()
        self.embedding = nn.Linear(audio_width + width, width)
        self.head = nn.Linear(width, outputs)

    def forward(self, audio_BUA: Tensor, video_BTC: Tensor) -> Tensor:
        """Return (B, T, O), the same at each step."""
        means_BD = torch.cat((audio_BUA.mean(1), video_BTC.mean(1)), -1)
        out_BO: Tensor = self.head(F.gelu(self.embedding(means_BD)))
        return out_BO[:, None].expand(-1, video_BTC.shape[1], -1)


def final_fusion_model(version: FinalVersion, outputs: int = 2, audio_width: int = 1024, width: int = 256) -> nn.Module:
    """Return a model of the authors' code by its number. `width`: of the video features, and within the model."""
    if version == "v4":
        return MeanFusion(outputs, audio_width, width)
    return AttentionFusion(version, outputs, audio_width, width)
