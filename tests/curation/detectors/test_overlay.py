"""Overlay detection finds a logo over moving frames."""

import numpy as np
from avf_curation.detectors import overlay


def draw_scene(seed: int, logo: bool) -> np.ndarray:
    import cv2

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
