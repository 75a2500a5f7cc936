"""The transformer that NetEase fuses feature tracks with (P2 3.3): one prediction for each frame of a clip.

Shapes: B clips, T frames (100), V values of all visual tracks of a frame, A of all audio tracks, O outputs. There are
no positions, and no norm after the last layer. Short clips are padded and masked; the authors' code cannot batch them.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avf_training.framewise.models.valid_frames import apply_to_valid, mean_of_valid

FrameTask = Literal["va", "expr", "au"]
OUTPUTS: dict[FrameTask, tuple[int, ...]] = {"va": (1, 1), "expr": (8,), "au": (12,)}
"""Outputs of each head: valence and arousal have one each."""

CLIP_FRAMES = 100
LAYERS, HEADS, DROPOUT, SLOPE = 4, 4, 0.3, 0.1


class FusionTransformer(nn.Module):
    """Concatenated features -> two maps of each frame -> four layers -> heads, without an output activation."""

    def __init__(
        self,
        task: FrameTask,
        *,
        visual_width: int,  # V
        audio_width: int = 0,  # A
        hidden: tuple[int, int, int] = (256, 128, 64),  # of the first map, the layers, the head
        head: Literal["bn_mlp", "linear"] = "bn_mlp",  # as in the authors' code, or the paper's single layer
        audio: Literal["per_frame", "per_clip"] = "per_frame",  # per_clip: the clip's mean, as the paper's equation
    ) -> None:
        super().__init__()
        self.task, self.audio_width, self.audio = task, audio_width, audio
        first, width, narrow = hidden
        self.reduce = nn.Conv1d(visual_width + audio_width, first, 1)
        self.narrow = nn.Conv1d(first, width, 1)
        layer = nn.TransformerEncoderLayer(width, HEADS, dim_feedforward=width, dropout=DROPOUT, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(width, narrow), nn.BatchNorm1d(narrow), nn.Linear(narrow, outputs))
            if head == "bn_mlp"
            else nn.Linear(width, outputs)
            for outputs in OUTPUTS[task]
        )

    def forward(self, visual_BTV: Tensor, audio_BTA: Tensor | None = None, valid_BT: Tensor | None = None) -> Tensor:
        """Return (B, T, O): valence and arousal, or logits; zeros where a clip has no frame.

        Raises ValueError for audio that the model does not read, or lacks.
        """
        if (audio_BTA is None) != (self.audio_width == 0):
            raise ValueError("audio is missing" if audio_BTA is None else "the model reads no audio")
        features = [visual_BTV]
        if audio_BTA is not None:
            if self.audio == "per_clip":
                audio_BTA = mean_of_valid(audio_BTA, valid_BT).expand(-1, visual_BTV.shape[1], -1)
            features.append(audio_BTA)
        x_BFT = F.leaky_relu(self.reduce(torch.cat(features, -1).transpose(1, 2)), SLOPE)
        x_BTC = self.narrow(x_BFT).transpose(1, 2)
        x_BTC = self.layers(x_BTC, src_key_padding_mask=None if valid_BT is None else ~valid_BT)
        return torch.cat([apply_to_valid(head, x_BTC, valid_BT) for head in self.heads], -1)
