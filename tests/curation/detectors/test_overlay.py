"""Overlay detection finds a logo over moving frames."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from avf_curation.detectors import overlay
from support.curation_runs import make_recipe


def draw_scene(seed: int, logo: bool) -> np.ndarray:
    draw = np.random.default_rng(seed)
    background = cv2.resize(draw.integers(40, 200, (9, 16)).astype(np.uint8), (320, 180), interpolation=cv2.INTER_CUBIC)
    if logo:
        cv2.putText(background, "LIVE", (262, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 2)
    return background


def test_a_logo_is_detected_only_over_moving_frames() -> None:
    with_logo = overlay.find_overlay([draw_scene(n, True) for n in range(16)])
    without = overlay.find_overlay([draw_scene(n, False) for n in range(16)])
    assert with_logo is not None
    assert with_logo.edge_px > 50
    assert without is not None
    assert without.edge_px == 0
    assert overlay.find_overlay([draw_scene(1, True)] * 16) is None, "nothing moves: no evidence either way"


def moving_scenes(draw_over: Callable[[np.ndarray], None]) -> list[np.ndarray]:
    frames = [draw_scene(n, logo=False) for n in range(16)]
    for frame in frames:
        draw_over(frame)
    return frames


def overlay_px(frames: list[np.ndarray]) -> int:
    region = overlay.find_overlay(frames)
    assert region is not None
    return region.edge_px


@pytest.mark.parametrize("level", [16, 235])
def test_the_edges_of_letterbox_bars_are_no_watermark(level: int) -> None:
    def bars(frame: np.ndarray) -> None:
        frame[:20] = frame[160:] = level

    assert overlay_px(moving_scenes(bars)) == 0


@pytest.mark.parametrize("scene", ["stripes", "few lights", "all of it"])
def test_the_exposure_is_told_from_whatever_is_lit(scene: str) -> None:
    """Most of a dark scene is black, and so is one of the two fields of some cameras."""
    light = np.random.default_rng(0).uniform(60, 120, (180, 320)).astype(np.float32)
    lit = np.zeros(light.shape, bool)
    if scene == "stripes":
        lit[:, 1::2] = True
    elif scene == "few lights":
        lit[91:96, 101:141:3] = True
    else:
        lit[:] = True
    gains = np.linspace(0.8, 1.2, 9)
    frames = np.stack([np.where(lit, light, 5) * gain for gain in gains]).astype(np.float32)
    assert np.ptp(overlay._with_equal_exposure(frames), axis=0).max() < 0.01


def test_a_straight_edge_in_any_direction_is_no_watermark() -> None:
    for end in ((318, 60), (300, 70), (262, 50)):

        def line(frame: np.ndarray, end: tuple[int, int] = end) -> None:
            cv2.line(frame, (262, 8), end, 255, 3)

        assert overlay_px(moving_scenes(line)) < make_recipe().defaults.quality.max_overlay_px / 2


def test_a_logo_beside_a_letterbox_bar_is_found() -> None:
    def bars_and_logo(frame: np.ndarray) -> None:
        frame[:20] = 16
        cv2.putText(frame, "LIVE", (262, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 2)

    assert overlay_px(moving_scenes(bars_and_logo)) > 50


def draw_star(image: np.ndarray, x: int, y: int) -> None:
    """Draw the outline of a star of 24 px."""
    angles = np.arange(6) * 0.8 * np.pi
    points = np.stack([x + 12 * np.sin(angles), y - 12 * np.cos(angles)], 1).round().astype(np.int32)
    cv2.polylines(image, [points], True, 230, 2)


def head_before_a_wall(n: int, *, passes: bool = False, camera: float = 0.0, gain: float = 1.0) -> np.ndarray:
    """Return a frame of a big head that moves in front of a wall with a star in the corner of the picture."""
    draw = np.random.default_rng(7)
    wall = cv2.resize(draw.integers(70, 110, (90, 160)).astype(np.uint8), (340, 200), interpolation=cv2.INTER_CUBIC)
    draw_star(wall, 290, 40)
    motion = np.array([[1, 0, camera * np.sin(n * 1.7) - 10], [0, 1, camera * np.sin(n * 1.1) - 10]])
    frame = cv2.warpAffine(wall, motion, (320, 180), borderMode=cv2.BORDER_REFLECT)
    head = draw_scene(n, logo=False)
    covered = np.zeros((180, 320), np.uint8)
    cv2.ellipse(covered, (round(140 + 9 * np.sin(n)), round(130 + 9 * np.cos(n / 2))), (125, 115), 0, 0, 360, 255, -1)
    if passes and n % 13 == 3:  # in a few frames a hand is around the star
        covered[:50, 240:] = 255
        covered[12:48, 262:298] = 0
    frame[covered > 0] = head[covered > 0]
    return np.clip(frame * gain, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("case", ["still", "passing hand", "trembling camera", "exposure"])
def test_a_star_on_the_wall_behind_a_moving_head_is_no_watermark(case: str) -> None:
    frames = [
        head_before_a_wall(
            n,
            passes=case == "passing hand",
            camera=1.2 if case == "trembling camera" else 0.0,
            gain=1 + 0.15 * np.sin(n) if case == "exposure" else 1.0,
        )
        for n in range(40)
    ]
    mark = overlay.find_overlay(frames)
    assert mark is None or mark.edge_px < make_recipe().defaults.quality.max_overlay_px / 2


def test_a_star_over_a_scene_that_moves_is_a_watermark() -> None:
    def star(frame: np.ndarray) -> None:
        draw_star(frame, 280, 30)

    assert overlay_px(moving_scenes(star)) > make_recipe().defaults.quality.max_overlay_px
