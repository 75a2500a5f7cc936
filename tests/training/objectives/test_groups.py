"""Clips are each other's negatives in groups by position, so that the loss does not depend on the micro-batch."""

import pytest
import torch
from avf_training.objectives.hcmcl import NegativeClips, contrastive_loss


def test_a_batch_of_groups_has_the_mean_loss_of_the_groups() -> None:
    torch.manual_seed(0)
    video_BC, audio_BC = torch.randn(12, 8), torch.randn(12, 8)
    parts = zip(video_BC.split(4), audio_BC.split(4), strict=True)
    losses = [contrastive_loss(video, audio, 0.07) for video, audio in parts]
    assert contrastive_loss(video_BC, audio_BC, 0.07, NegativeClips(clips=4)).item() == pytest.approx(
        sum(losses).item() / 3
    )
    with pytest.raises(ValueError, match="12 clips are no multiple of the 5 of a group"):
        contrastive_loss(video_BC, audio_BC, 0.07, NegativeClips(clips=5))
