"""The second branch of NetEase's fusion: a transformer that learned from all clips, and one for the hard clips.

The released code has it, the paper does not name it. What picks the hard clips there (`filter_outlier`) is described
nowhere; ours are those with the largest loss (`sampling/hard_clips.py`). Shapes: B clips, T frames, O outputs.
"""

from typing import NamedTuple

import numpy as np
from torch import Tensor, nn

from avf_training.framewise.models.fusion_transformer import FusionTransformer

SHARE_BETA = (5.0, 2.0)
"""Parameters of the beta distribution that a training step draws the base branch's share from: .71 on average."""
SHARE_WHEN_TESTED = 0.8


class ClipFeatures(NamedTuple):
    """What a branch reads of a batch of clips."""

    visual_BTV: Tensor
    audio_BTA: Tensor | None = None
    valid_BT: Tensor | None = None  # False where a frame is padding


class TwoBranchFusion(nn.Module):
    """share * base branch + (1 - share) * branch of hard clips; the base branch is frozen."""

    def __init__(self, base: FusionTransformer, hard: FusionTransformer) -> None:
        """Join two fusions. Raises ValueError for two of different tasks."""
        super().__init__()
        if base.task != hard.task:
            raise ValueError(f"the branches are of the tasks {base.task} and {hard.task}")
        self.base, self.hard = base.requires_grad_(False), hard

    def forward(
        self, clips: ClipFeatures, hard_clips: ClipFeatures | None = None, *, share: float = SHARE_WHEN_TESTED
    ) -> Tensor:
        """Return (B, T, O): valence and arousal, or logits.

        Args:
            clips: of the base branch.
            hard_clips: of the other, in training, as many; None: the same clips. A prediction belongs to the labels
                of both, and counts where the frames of both are valid.
            share: of the base branch.
        """
        base_BTO, hard_BTO = self.base(*clips), self.hard(*(clips if hard_clips is None else hard_clips))
        return share * base_BTO + (1 - share) * hard_BTO

    def train(self, mode: bool = True) -> "TwoBranchFusion":
        """Set the mode of the branch that learns; the base branch has no dropout, and its statistics stay."""
        super().train(mode)
        self.base.eval()
        return self


def draw_share(random: np.random.Generator) -> float:
    """Return the base branch's share of one step of training."""
    return float(random.beta(*SHARE_BETA))
