"""Burnt-in text that changes is told over a moving and over a still scene; what people and cameras do is none."""

import cv2
import numpy as np
import pytest
from avf_curation.detectors.burnt_in_text import find_burnt_in_text
from avf_curation.media.types import Bytes
from support.curation_runs import make_recipe

QUALITY = make_recipe().defaults.quality
FRAMES, FRAMES_PER_S = 40, 5.0
LINES = ("What did you say?", "I never meant to", "come back here.")


def draw_scene(scene: str, n: int) -> Bytes:
    """Return a frame (180, 320) of a talker with a striped shirt, who leans to the side and back."""
    rng = np.random.default_rng(3)
    wall = cv2.resize(rng.integers(40, 200, (12, 40)).astype(np.uint8), (640, 180), interpolation=cv2.INTER_CUBIC)
    left = {"still": 100, "pan": 20 + 7 * n, "in the hand": 100 + round(30 * np.sin(n * 0.8))}[scene]
    frame = wall[:, left : left + 320].copy()
    x = 160 + (20 if 12 <= n < 25 else 0)
    cv2.rectangle(frame, (x - 70, 120), (x + 70, 180), 90, -1)
    for stripe in range(x - 66, x + 70, 12):
        cv2.line(frame, (stripe, 122), (stripe, 180), 210, 3)
    cv2.circle(frame, (x, 80), 40, 150, -1)
    cv2.ellipse(frame, (x, 100), (10, round(5 + 4 * np.sin(n * 1.7))), 0, 0, 360, 60, -1)
    return frame


def write_line(frame: Bytes, text: str, x: float = 60, y: int = 165) -> None:
    for colour, thickness in ((0, 3), (255, 1)):
        cv2.putText(frame, text, (round(x), y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, thickness, cv2.LINE_AA)


def film(scene: str, text: str) -> list[Bytes]:
    frames = []
    for n in range(FRAMES):
        frame = draw_scene(scene, n)
        if text == "subtitles" and n % 13 != 12:
            write_line(frame, LINES[n // 13 % 3])
        if text == "a line that stays":
            write_line(frame, LINES[0])
        if text == "ticker":
            write_line(frame, "Storm warning for the coast +++ Museum opens +++ " * 4, x=300 - 11.5 * n, y=174)
        if text == "a hand passes" and 10 <= n < 14:
            cv2.circle(frame, (60 + 50 * (n - 10), 160), 22, 200, -1)
        frames.append(frame)
    return frames


def is_subtitled(frames: list[Bytes]) -> bool:
    return find_burnt_in_text(frames, FRAMES_PER_S).subtitle_px > QUALITY.max_subtitle_px


def has_ticker(frames: list[Bytes]) -> bool:
    return find_burnt_in_text(frames, FRAMES_PER_S).ticker_share > QUALITY.max_ticker_share


@pytest.mark.parametrize("scene", ["still", "pan", "in the hand"])
def test_lines_that_come_and_go_are_subtitles(scene: str) -> None:
    frames = film(scene, "subtitles")
    assert is_subtitled(frames)
    assert not has_ticker(frames)


@pytest.mark.parametrize("scene", ["still", "pan", "in the hand"])
def test_text_that_runs_is_a_ticker(scene: str) -> None:
    assert has_ticker(film(scene, "ticker"))


@pytest.mark.parametrize("scene", ["still", "pan", "in the hand"])
@pytest.mark.parametrize("text", ["none", "a hand passes", "a line that stays"])
def test_what_else_changes_is_neither(scene: str, text: str) -> None:
    frames = film(scene, text)
    assert not is_subtitled(frames)
    assert not has_ticker(frames)


@pytest.mark.parametrize("text", ["subtitles", "ticker"])
def test_frames_of_every_rate_are_looked_at_alike(text: str) -> None:
    frames = film("still", text)
    repeated = [frame for frame in frames for _ in range(5)]
    assert find_burnt_in_text(repeated, 25.0) == find_burnt_in_text(frames, FRAMES_PER_S)


def test_a_span_that_is_too_short_shows_neither() -> None:
    text = find_burnt_in_text(film("still", "subtitles")[:4], FRAMES_PER_S)
    assert (text.subtitle_px, text.ticker_share) == (0, 0.0)
