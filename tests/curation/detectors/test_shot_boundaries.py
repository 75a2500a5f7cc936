"""Cuts are found on the frames that differ: slow sources repeat theirs, and fades and stills stand for long."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from avf_curation.detectors.shot_boundaries import ShotBoundaryDetector
from avf_curation.media.types import Bytes
from support.curation_runs import make_recipe

SCENES = make_recipe().defaults.scenes


def scene(seed: int) -> Bytes:
    """Return a picture of soft blobs, wider than a frame, so that a camera can move over it."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 216, (9, 24, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (720, 144), interpolation=cv2.INTER_CUBIC))


def shots(frames: Sequence[Bytes], shown: Sequence[int]) -> list[int]:
    """Return the cuts of a video that shows `frames[n]` at the timeline's indices n in `shown`."""
    boundaries = ShotBoundaryDetector(SCENES)
    noise = np.random.default_rng(0)
    cuts = []
    for index, n in enumerate(shown):
        flicker = noise.random(frames[n].shape) < 0.05  # an encoder stores repetitions with slight changes
        cuts += boundaries.feed(index, np.clip(frames[n].astype(int) + flicker, 0, 255).astype(np.uint8))
    return cuts + boundaries.finish()


def turning_head(fps: float, frames: int) -> list[Bytes]:
    """Return frames of a picture that moves slowly, and quickly for a moment in the middle."""
    picture = scene(1)
    left, speeds = 0.0, []
    for n in range(frames):
        time_s = n / fps - frames / fps / 2
        speeds.append((8 + 100 * np.exp(-((time_s / 0.3) ** 2))) / fps)
    images = []
    for speed in speeds:
        left += speed
        images.append(picture[:, round(left) : round(left) + 256])
    return images


@pytest.mark.parametrize("fps", [8, 10, 12, 15, 25])
def test_the_turn_of_a_head_is_no_cut_at_any_frame_rate(fps: int) -> None:
    frames = turning_head(fps, 6 * fps)
    assert shots(frames, [index * fps // 25 for index in range(150)]) == []


@pytest.mark.parametrize("fps", [6, 8, 10, 12, 15, 25])
def test_a_hard_cut_is_found_at_its_frame_at_any_frame_rate(fps: int) -> None:
    frames = turning_head(fps, 3 * fps) + [scene(2)[:, 20 + n : 276 + n] for n in range(3 * fps)]
    shown = [index * fps // 25 for index in range(150)]
    assert shots(frames, shown) == [shown.index(3 * fps)]


def test_the_end_of_a_black_pause_is_a_cut() -> None:
    black = np.full((144, 256, 3), 2, np.uint8)
    first = [scene(1)[:, n : 256 + n] for n in range(50)]
    second = [scene(2)[:, n : 256 + n] for n in range(50)]
    frames = [*first, *[black] * 25, *second]
    assert 75 in shots(frames, range(125))
