"""Batched transforms are equal to the transforms of each clip."""

import numpy as np
import torch
from avf_training.data.fbank import log_mel
from avf_training.data.pretraining_sampler import CROP_SCALES, Crop, PretrainingParams, PretrainingSampler
from avf_training.data.transforms import audio_input, crop_pixels, log_mel_batch, video_input
from avf_training.models.config import Geometry
from avf_training.models.mask_sampling import paper_masks
from support.models import tiny_config


def draw_params(position: int, frames: int = 100, any_start_frame: bool = False) -> PretrainingParams:
    return PretrainingSampler(tiny_config(), paper_masks(tiny_config()), any_start_frame).sample(
        "d", 0, position, frames
    )


def crop_boxes(*crops: Crop, size_px: int) -> torch.Tensor:
    return torch.tensor([crop.box(size_px) for crop in crops])


def test_batched_features_equal_those_of_torchaudio_for_each_clip() -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([40_960, 40_960, 20_000, 401])
    wave = torch.zeros(4, 40_960)
    for row, length in zip(wave, lengths, strict=True):
        row[:length] = torch.randn(int(length)) * 0.1
        row[:length] -= row[:length].mean()
    batch = log_mel_batch(wave, lengths, Geometry())
    for row, length, features in zip(wave, lengths, batch, strict=True):
        torch.testing.assert_close(features, log_mel(row[:length], 16_000), atol=2e-4, rtol=1e-5)


def test_gain_and_mean_removal_are_applied() -> None:
    sound = torch.from_numpy(np.random.default_rng(0).integers(-3000, 5000, (2, 40_960)).astype(np.int16))
    lengths, draws = torch.tensor([40_960, 40_960]), (draw_params(0), draw_params(1))
    batch = audio_input(sound, lengths, torch.tensor([draw.gain for draw in draws]), Geometry())
    for row, draw, features in zip(sound, draws, batch, strict=True):
        wave = row.float() / 32768
        torch.testing.assert_close(features, log_mel((wave - wave.mean()) * draw.gain, 16_000), atol=2e-4, rtol=1e-5)
        assert 0.5 < draw.gain < 1.5


def test_a_full_frame_at_its_size_keeps_its_luma() -> None:
    planes = torch.randint(60, 180, (2, 2, 240, 160), dtype=torch.uint8)
    planes[:, :, 160:] = planes[:, :, 160:] // 16 + 124  # colours that no channel has to be cut for
    full_frame = crop_boxes(*[Crop(width_share=1.0, height_share=1.0, quarter_x=2, quarter_y=2)] * 2, size_px=160)
    full_range = torch.tensor([False, True])
    pixels = crop_pixels(planes, full_range, full_frame, 160)
    luma = (pixels * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1, 1)).sum(1) * 255
    stored = planes[:, :, :160].float()
    expected = torch.stack(((stored[0] - 16) * 255 / 219, stored[1]))
    torch.testing.assert_close(luma, expected, atol=0.02, rtol=0)  # the grid is in float32
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = video_input(planes, full_range, full_frame, Geometry(frames=2, size_px=160))
    torch.testing.assert_close(normalised * std.view(1, 3, 1, 1, 1) + mean.view(1, 3, 1, 1, 1), pixels)


def test_a_crop_shows_the_drawn_region() -> None:
    """A ramp from left to right: a crop of the right side is brighter, and linear."""
    ramp = torch.linspace(16, 235, 224).round().to(torch.uint8).expand(1, 1, 224, 224)
    grey = torch.full((1, 1, 112, 224), 128, dtype=torch.uint8)
    planes = torch.cat((ramp, grey), 2)
    geometry, limited = Geometry(frames=2, size_px=160, tube_frames=1), torch.tensor([False])
    views = [
        video_input(
            planes,
            limited,
            crop_boxes(Crop(width_share=0.66, height_share=1.0, quarter_x=quarter, quarter_y=0), size_px=224),
            geometry,
        )[0, 0, 0]
        for quarter in (0, 4)
    ]
    left, top, right, bottom = Crop(width_share=0.66, height_share=1.0, quarter_x=4, quarter_y=0).box(224)
    assert (left, top, right - left, bottom - top) == (76, 0, 147, 224)
    assert views[1].mean() > views[0].mean() + 1
    assert (views[0].diff(dim=1) > -1e-3).all()


def test_random_draws_depend_only_on_the_position_and_cover_their_ranges() -> None:
    samples = [draw_params(position) for position in range(600)]
    repeated = [draw_params(position) for position in range(600)]
    assert [d.start_frame for d in samples] == [d.start_frame for d in repeated]
    assert [d.crop for d in samples] == [d.crop for d in repeated]
    assert all(
        (a.masks.video.visible_V == b.masks.video.visible_V).all() for a, b in zip(samples, repeated, strict=True)
    )
    assert {d.start_frame for d in samples} == set(range(0, 37, 4))
    assert {d.crop.width_share for d in samples} == set(CROP_SCALES)
    steps = [abs(CROP_SCALES.index(d.crop.width_share) - CROP_SCALES.index(d.crop.height_share)) for d in samples]
    assert set(steps) == {0, 1}
    assert len({(d.crop.quarter_x, d.crop.quarter_y) for d in samples}) == 13
    starts = [draw_params(position, any_start_frame=True).start_frame for position in range(600)]
    assert set(starts) == set(range(37))
    assert draw_params(3, 40).start_frame == 0
