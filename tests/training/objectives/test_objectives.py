"""Targets and losses agree with values computed by hand."""

import math

import pytest
import torch
from avf_training.models.config import Geometry, TargetConfig
from avf_training.models.inputs import IMAGE_MEAN, IMAGE_STD
from avf_training.models.patch_embed import video_patches
from avf_training.objectives.hcmcl import contrastive_loss
from avf_training.objectives.reconstruction_loss import masked_mse
from avf_training.objectives.targets import audio_targets, video_targets

SMALL = Geometry(frames=2, size_px=4, tube_frames=2, patch_px=2, mel_frames=4, mels=4, mel_patch=2)


def normalise(pixels_BCTHW: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1, 1) for v in (IMAGE_MEAN, IMAGE_STD))
    return (pixels_BCTHW.double() - mean) / std


def test_video_targets_agree_with_values_by_hand() -> None:
    """Red of the first tube: 0 1 2 3 in frame 0, 4 5 6 7 in frame 1. Mean 3.5, unbiased variance 6."""
    pixels = torch.zeros(1, 3, 2, 4, 4)
    pixels[0, 0, 0, :2, :2] = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    pixels[0, 0, 1, :2, :2] = torch.tensor([[4.0, 5.0], [6.0, 7.0]])
    index = torch.tensor([[0]])
    plain = video_targets(normalise(pixels), index, SMALL, TargetConfig(frame_difference=False))[0, 0].view(2, 4, 3)
    expected = (torch.arange(8).double() - 3.5) / (math.sqrt(6) + 1e-6)
    torch.testing.assert_close(plain[..., 0].flatten(), expected)
    moved = video_targets(normalise(pixels), index, SMALL, TargetConfig())[0, 0].view(2, 4, 3)
    torch.testing.assert_close(moved[0, :, 0], expected[:4])
    torch.testing.assert_close(moved[1, :, 0], torch.full((4,), 4 / (math.sqrt(6) + 1e-6), dtype=torch.float64))


def test_patches_are_in_raster_order() -> None:
    video = torch.arange(2 * 16).float().view(1, 1, 2, 4, 4).expand(1, 3, 2, 4, 4)
    patches = video_patches(video, SMALL, torch.arange(4)[None]).view(4, 3, 2, 4)
    assert patches[:, 0, 0, 0].tolist() == [0, 2, 8, 10]
    assert patches[3, 2, 1].tolist() == [26, 27, 30, 31]


def test_audio_targets_have_mean_zero_and_deviation_one() -> None:
    target = audio_targets(torch.randn(3, 1, 4, 4, dtype=torch.float64), torch.tensor([[0, 3]] * 3), SMALL)
    assert target.shape == (3, 2, 4)
    torch.testing.assert_close(target.mean(-1), torch.zeros(3, 2, dtype=torch.float64))
    torch.testing.assert_close(target.std(-1), torch.ones(3, 2, dtype=torch.float64), atol=1e-4, rtol=0)


def test_only_masked_patches_count_in_the_loss() -> None:
    predicted, target = torch.zeros(2, 2, 4), torch.tensor([[[1.0] * 4, [9.0] * 4], [[3.0] * 4, [9.0] * 4]])
    assert masked_mse(predicted, target, torch.tensor([[1.0, 0.0], [1.0, 0.0]])) == pytest.approx((1 + 9) / 2)


def test_the_contrastive_loss_agrees_with_values_by_hand() -> None:
    """Two clips whose own pair has cosine 1 and the other pair 0."""
    eye = torch.eye(2)
    expected = math.log(1 + math.exp(-1 / 0.07))
    assert contrastive_loss(eye * 3, eye * 5, 0.07) == pytest.approx(expected, abs=1e-7)
    assert contrastive_loss(eye, eye.flip(0), 0.07) == pytest.approx(1 / 0.07 + expected, rel=1e-5)
