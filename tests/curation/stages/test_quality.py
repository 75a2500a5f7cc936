"""The quality stage measures frozen and black frames and bars."""

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


@pytest.mark.parametrize("level", [16, 128, 235])
def test_bars_of_one_colour_count_where_they_lie_on_both_sides(level: int) -> None:
    noise = np.random.default_rng(0)
    frames = noise.integers(60, 200, (6, 100, 160)).astype(np.uint8)
    frames[:, :20] = frames[:, 81:] = level + noise.integers(-4, 5, (6, 1, 160))
    high = tracking.CropWindow(side_px=40.0, centres_T2=np.full((6, 2), (80.0, 20.0)))

    def bars(frames_THW: np.ndarray) -> float:
        return quality.bars_in_window(list(frames_THW), 1.0, high)

    assert bars(frames) == pytest.approx(0.5, abs=0.05)
    turned = tracking.CropWindow(side_px=40.0, centres_T2=np.full((6, 2), (20.0, 80.0)))
    assert quality.bars_in_window(list(frames.transpose(0, 2, 1)), 1.0, turned) == pytest.approx(0.5, abs=0.05)
    if level > quality.DARK_LEVEL:
        on_one_side = frames.copy()
        on_one_side[:, 81:] = frames[:, 40:59]
        assert bars(on_one_side) == 0, "a wall"


def test_blurred_bars_count_as_black_ones_do() -> None:
    frames = list(np.random.default_rng(0).integers(60, 200, (6, 100, 200)).astype(np.uint8))
    window = tracking.CropWindow(side_px=80.0, centres_T2=np.full((6, 2), (140.0, 100.0)))  # source: twice the frames
    sides, rows = quality.Margins(left=60, right=60), quality.Margins(top=60, bottom=30)
    assert quality.bars_in_window(frames, 0.5, window) == 0
    assert quality.bars_in_window(frames, 0.5, window, sides) == pytest.approx(0.25, abs=0.01)
    assert quality.bars_in_window(frames, 0.5, window, rows) == pytest.approx(0.75, abs=0.01)


def test_a_plain_background_is_no_bar() -> None:
    height, width = 100, 160
    y, x = np.mgrid[:height, :width]
    person = np.hypot(x - width / 2, (y - 50) * 0.9) < 36  # as far from the top as from the bottom
    frames = np.full((6, height, width), 235, np.uint8)
    frames[:, person] = np.random.default_rng(0).integers(40, 160, (6, int(person.sum())))
    window = tracking.CropWindow(side_px=100.0, centres_T2=np.full((6, 2), (80.0, 50.0)))
    assert quality.bars_in_window(list(frames), 1.0, window) == 0
