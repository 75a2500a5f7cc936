"""The SUN team's fusion of face and pose over time (VisualFusionModel of their code): v1 and v2.

Shapes: B windows, T steps, C width of either stream. v2 is known by the authors' numbers alone: among many orders of
four layers it is the only one that gives them.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from avf_training.framewise.models.layers import SequenceLayer, key_mask

HEADS, DROPOUT, EMBEDDING_WIDTH = 16, 0.1, 256


class VisualOutput(NamedTuple):
    """What a model says of each step; None for a task that it does not have."""

    expressions_BT8: Tensor | None  # logits
    valence_arousal_BT2: Tensor | None  # without an activation


class VisualFusion(nn.Module):
    """Each stream asks the other, both at once: one time (v1) or two times, with layers of its own (v2)."""

    def __init__(
        self, version: Literal["v1", "v2"], width: int = 256, *, expressions: int = 8, affect: int = 2
    ) -> None:
        """`expressions`, `affect`: outputs of both heads; 0 for none."""
        super().__init__()
        rounds = 1 if version == "v1" else 2
        self.face = nn.ModuleList(SequenceLayer(width, HEADS, DROPOUT) for _ in range(rounds))
        self.pose = nn.ModuleList(SequenceLayer(width, HEADS, DROPOUT) for _ in range(rounds))
        self.embeddings = nn.Linear(2 * width, EMBEDDING_WIDTH)
        self.expressions = nn.Linear(EMBEDDING_WIDTH, expressions) if expressions else None
        self.valence_arousal = nn.Linear(EMBEDDING_WIDTH, affect) if affect else None

    def forward(self, face_BTC: Tensor, pose_BTC: Tensor, valid_BT: Tensor | None = None) -> VisualOutput:
        """Return the outputs of each step. Steps that are not valid change no other step."""
        allowed = None if valid_BT is None else key_mask(valid_BT)
        for face_layer, pose_layer in zip(self.face, self.pose, strict=True):
            face_BTC, pose_BTC = (
                face_layer(face_BTC, pose_BTC, allowed_BTT=allowed),
                pose_layer(pose_BTC, face_BTC, allowed_BTT=allowed),
            )
        x_BTE = self.embeddings(torch.cat((face_BTC, pose_BTC), -1))
        return VisualOutput(
            None if self.expressions is None else self.expressions(x_BTE),
            None if self.valence_arousal is None else self.valence_arousal(x_BTE),
        )
