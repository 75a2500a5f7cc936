"""Text that stays is told over a still background by its letters; texture, patterns and windows are none."""

import cv2
import numpy as np
import pytest
from avf_curation.detectors.still_text import choose_frames, count_still_letters
from avf_curation.media.types import Bytes
from support.curation_runs import make_recipe

LIMIT = make_recipe().defaults.quality.max_still_letters
SIZE = 360, 640


def wall() -> Bytes:
    """Return a wall with soft light and shadow."""
    rng = np.random.default_rng(5)
    soft = rng.integers(60, 150, (3, 5)).astype(np.uint8)
    return np.asarray(cv2.resize(soft, SIZE[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def write(image: Bytes, text: str, x: int, y: int, *, grey: int = 250, scale: float = 0.8) -> Bytes:
    image = image.copy()
    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, grey, 2, cv2.LINE_AA)
    return image


def letters(*frames: Bytes) -> int:
    return count_still_letters(list(frames))


@pytest.mark.parametrize(
    ("text", "x", "y"), [("NEWS 24", 20, 40), ("LIVE", 540, 330), ("Dr. Anna Weber", 40, 330)], ids=str
)
@pytest.mark.parametrize("grey", [250, 0])
def test_text_over_a_still_wall_is_counted(text: str, x: int, y: int, grey: int) -> None:
    assert letters(*[write(wall(), text, x, y, grey=grey)] * 9) >= max(LIMIT + 1, len(text) // 2)


def test_a_name_that_lets_half_of_the_wall_through_is_counted() -> None:
    image = wall()
    half = (0.5 * image + 0.5 * write(image, "STUDIO", 30, 50)).astype(np.uint8)
    assert letters(*[half] * 9) > LIMIT


def test_small_pictures_are_enlarged() -> None:
    small = np.asarray(cv2.resize(write(wall(), "STUDIO", 30, 50, scale=1.2), (320, 180), interpolation=cv2.INTER_AREA))
    assert letters(*[small] * 9) > LIMIT


def test_text_in_the_middle_of_the_picture_or_in_motion_is_none() -> None:
    assert letters(*[write(wall(), "PUBLIC LIBRARY", 200, 180)] * 9) <= LIMIT
    assert letters(*[write(wall(), "PUBLIC LIBRARY", 20 + 3 * n, 40) for n in range(9)]) <= LIMIT


def test_what_the_border_cuts_off_is_none() -> None:
    assert letters(*[write(wall(), "STUDIO", 30, 355)] * 9) > LIMIT
    assert letters(*[write(wall(), "STUDIO", 30, 361)] * 9) <= LIMIT


def draw_window() -> Bytes:
    image = wall()
    for x in (10, 70, 130):
        cv2.line(image, (x, 0), (x, 160), 230, 4)
    for y in (5, 80, 158):
        cv2.line(image, (10, y), (130, y), 230, 4)
    return image


def draw_pattern() -> Bytes:
    image = wall()
    for y in range(12, 360, 30):
        for x in range(10, 640, 14):
            cv2.circle(image, (x, y), 5, 230, 2)
    return image


def draw_knit() -> Bytes:
    """Return rows of specks that differ, as wool has them."""
    rng = np.random.default_rng(2)
    image = wall()
    for y in range(6, 360, 13):
        for x in range(6, 640, 11):
            points = np.array([(x, y), (x + rng.integers(2, 7), y + rng.integers(5, 10))])
            cv2.polylines(image, [points.astype(np.int32)], False, 240, 2)
    return image


def draw_wicker() -> Bytes:
    """Return a row of signs as free as letters, between two rows of strokes that hang together."""
    image = write(wall(), "AMRKSXTBWHZ", 20, 80)
    for top in (40, 86):
        cv2.line(image, (10, top + 8), (240, top + 8), 250, 2)
        for x in range(10, 240, 9):
            cv2.line(image, (x, top), (x, top + 17), 250, 3)
    return image


@pytest.mark.parametrize("draw", [wall, draw_window, draw_pattern, draw_knit, draw_wicker])
def test_a_wall_a_window_a_pattern_wool_and_wicker_are_no_text(draw: object) -> None:
    assert callable(draw)
    assert letters(*[draw()] * 9) <= LIMIT


@pytest.mark.parametrize("frames", [1, 8, 9, 17, 400])
def test_frames_are_spread_over_the_span(frames: int) -> None:
    numbers = [int(frame[0]) for frame in choose_frames([np.array([n % 256], np.uint8) for n in range(frames)])]
    assert len(numbers) == min(frames, 9)
    assert numbers == [n * max(1, frames // 9) % 256 for n in range(len(numbers))]
