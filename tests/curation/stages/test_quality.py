"""The quality stage measures frozen and black frames and black bars."""

import numpy as np
import pytest
from avf_curation.stages import quality, tracking


def noise_frames(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, (frames, 64, 64)).astype(np.uint8)


def test_frozen_and_black_frames_are_measured() -> None:
    moving = noise_frames(50)
    stuck = np.concatenate([moving[:20], np.repeat(moving[20:21], 30, 0)])
    assert quality.frozen_s(moving, 0.6) == 0
    assert quality.frozen_s(stuck, 0.6) == pytest.approx(29 / 25)
    assert quality.black_share(np.zeros((4, 8, 8), np.uint8), 16) == 1


def test_black_bars_count_only_inside_the_crop_window() -> None:
    picture = np.full((100, 200), 120, np.uint8)
    picture[:20] = picture[80:] = 0
    middle = tracking.CropWindow(side_px=40.0, centres_T2=np.full((3, 2), (100.0, 50.0)))
    high = tracking.CropWindow(side_px=40.0, centres_T2=np.full((3, 2), (100.0, 20.0)))
    assert quality.bars_in_window([picture], 1.0, middle) == pytest.approx(0, abs=0.02)
    assert quality.bars_in_window([picture], 1.0, high) == pytest.approx(0.5, abs=0.05)
