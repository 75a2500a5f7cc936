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
    found = overlay.find_overlay(frames)
    assert found is not None
    return found.edge_px


@pytest.mark.parametrize("level", [16, 235])
def test_the_edges_of_letterbox_bars_are_no_watermark(level: int) -> None:
    def bars(frame: np.ndarray) -> None:
        frame[:20] = frame[160:] = level

    assert overlay_px(moving_scenes(bars)) == 0


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
