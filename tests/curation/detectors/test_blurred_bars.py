"""Bars that show the picture itself, enlarged and blurred, are found; smooth walls beside a picture are not."""

import cv2
import numpy as np
import pytest
from avf_curation.detectors.blurred_bars import find_blurred_bars
from avf_curation.media.types import Bytes
from avf_curation.stages.quality import Margins

FRAMES, HEIGHT, WIDTH, BAR = 12, 180, 320, 80


def picture(seed: int = 0) -> Bytes:
    """Return frames of a scene with fine detail that a camera moves over, as large as what lies between the bars."""
    draw = np.random.default_rng(seed)
    coarse = cv2.resize(draw.integers(30, 220, (8, 9)).astype(np.float32), (220, 220), interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(draw.normal(0, 60, (220, 220)).astype(np.float32), (0, 0), 1.0)
    scene = np.clip(coarse + fine, 0, 255).astype(np.uint8)
    noise = draw.normal(0, 2, (FRAMES, HEIGHT, WIDTH - 2 * BAR))
    cuts = [scene[n : n + HEIGHT, 2 * n : 2 * n + WIDTH - 2 * BAR] for n in range(FRAMES)]
    return np.clip(np.stack(cuts) + noise, 0, 255).astype(np.uint8)


def backdrop(frames_THW: Bytes, gain: float = 1.0, sigma_px: float = 5.0) -> Bytes:
    """Return the frames enlarged until they fill the frame, cut off above and below, and blurred."""
    high = round(HEIGHT * WIDTH / (WIDTH - 2 * BAR))
    top = (high - HEIGHT) // 2
    wide = [cv2.resize(frame, (WIDTH, high))[top : top + HEIGHT] for frame in frames_THW]
    blurred = [cv2.GaussianBlur(frame, (0, 0), sigma_px) for frame in wide]
    return np.clip(np.stack(blurred) * gain, 0, 255).astype(np.uint8)


def lay_over(backdrop_THW: Bytes, picture_THW: Bytes, shift_px: int = 0) -> Bytes:
    frames = backdrop_THW.copy()
    frames[:, :, BAR + shift_px : WIDTH - BAR + shift_px] = picture_THW
    return frames


@pytest.mark.parametrize("gain", [1.0, 0.6])
@pytest.mark.parametrize("sigma_px", [2.5, 8.0])
def test_a_blurred_copy_is_found_at_the_sides_and_above_and_below(gain: float, sigma_px: float) -> None:
    frames = lay_over(backdrop(picture(), gain, sigma_px), picture())
    sides = find_blurred_bars(list(frames))
    assert (sides.left, sides.right) == pytest.approx((BAR, BAR), abs=1)
    assert (sides.top, sides.bottom) == (0, 0)
    turned = find_blurred_bars(list(frames.transpose(0, 2, 1)))
    assert (turned.top, turned.bottom) == (sides.left, sides.right)
    assert (turned.left, turned.right) == (0, 0)


@pytest.mark.parametrize("sigma_px", [5.0, 18.0])
def test_a_copy_that_is_stretched_in_one_direction_is_found(sigma_px: float) -> None:
    stretched = [cv2.GaussianBlur(cv2.resize(frame, (WIDTH, HEIGHT)), (0, 0), sigma_px) for frame in picture()]
    assert find_blurred_bars(list(lay_over(np.stack(stretched), picture()))).left == pytest.approx(BAR, abs=1)


def one_side(frames_THW: Bytes) -> Bytes:
    frames = frames_THW.copy()
    frames[:, :, WIDTH - BAR :] = picture(seed=5)[:, :, :BAR]
    return frames


def walls(frames_THW: Bytes) -> Bytes:
    """Return frames in which plain walls, lit from above, lie on either side."""
    frames = frames_THW.copy()
    wall = np.linspace(200, 90, HEIGHT).astype(np.uint8)[:, None]
    frames[:, :, :BAR] = frames[:, :, WIDTH - BAR :] = wall
    return frames


def detailed(backdrop_THW: Bytes) -> Bytes:
    noise = np.random.default_rng(7).normal(0, 25, backdrop_THW.shape)
    return np.clip(backdrop_THW + noise, 0, 255).astype(np.uint8)


NO_BARS = {
    "the picture alone": lambda: np.concatenate([picture(), picture(seed=1)], axis=2),
    "a bar on one side": lambda: one_side(lay_over(backdrop(picture()), picture())),
    "bars of two widths": lambda: lay_over(backdrop(picture()), picture(), shift_px=8),
    "a copy as sharp as the picture": lambda: lay_over(detailed(backdrop(picture(), 0.6)), picture()),
    "another picture, blurred": lambda: lay_over(backdrop(picture(seed=3)), picture()),
    "walls": lambda: walls(lay_over(backdrop(picture()), picture())),
    "a blurred picture": lambda: backdrop(picture()),
}


@pytest.mark.parametrize("scene", NO_BARS)
def test_what_lacks_one_sign_of_a_blurred_copy_is_no_bar(scene: str) -> None:
    assert find_blurred_bars(list(NO_BARS[scene]())) == Margins()


def test_a_line_that_moves_is_no_edge_of_a_bar() -> None:
    backdrop_THW, frames = backdrop(picture(), 0.6), lay_over(backdrop(picture(), 0.6), picture())
    for n, frame in enumerate(frames):  # a door that opens to both sides
        for columns in (slice(BAR, BAR + n), slice(WIDTH - BAR - n, WIDTH - BAR)):
            frame[:, columns] = backdrop_THW[n][:, columns]
    assert find_blurred_bars(list(frames)) == Margins()


def test_two_frames_are_enough() -> None:
    assert find_blurred_bars(list(lay_over(backdrop(picture()), picture())[:2])).left > 0


@pytest.mark.parametrize("size", [(16, 320), (16, 16), (320, 31), (32, 33)])
def test_narrow_frames_have_no_bars(size: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 255, size).astype(np.uint8)
    assert find_blurred_bars([frame]) == Margins()
    striped = np.zeros(size, np.uint8)
    striped[:, size[1] // 3 : size[1] - size[1] // 3] = frame[:, size[1] // 3 : size[1] - size[1] // 3]
    assert find_blurred_bars([striped]) == Margins()
