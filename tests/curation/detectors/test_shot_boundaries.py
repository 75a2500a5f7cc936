"""Cuts are found on the frames that differ: slow sources repeat theirs, and fades and stills stand for long."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from avf_curation.detectors import shot_boundaries
from avf_curation.detectors.shot_boundaries import ShotBoundaryDetector
from avf_curation.media.decode import MediaFile
from avf_curation.media.types import Bytes
from scenedetect.common import FrameTimecode
from scenedetect.detectors import ContentDetector
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


def stutter(frames: list[Bytes], at: int, stands: int) -> list[Bytes]:
    """Return a film in which the frame `at` stands for `stands` frames, which it hides."""
    return [*frames[:at], *[frames[at]] * stands, *frames[at + stands :]]


@pytest.mark.parametrize("stands", [5, 8, 10])
def test_what_follows_a_stutter_in_one_scene_is_no_cut(stands: int) -> None:
    # A head that moves before a wall: the wall stays, and the head is a little way off.
    wall, head = scene(4)[:, :256], scene(5)[40:120, :80]
    frames = []
    for n in range(100):
        picture = wall.copy()
        left = round(88 + 60 * np.sin(n / 8))
        picture[40:120, left : left + 80] = head
        frames.append(picture)
    for at in range(30, 70, 4):
        assert shots(stutter(frames, at, stands), range(100)) == []


@pytest.mark.parametrize("stands", [5, 8, 13])
def test_a_cut_behind_a_stutter_stays_a_cut(stands: int) -> None:
    first = [scene(1)[:, n : 256 + n] for n in range(50)]
    second = [scene(2)[:, n : 256 + n] for n in range(50)]
    film = [*first, *[first[-1]] * stands, *second]
    assert shots(film, range(len(film))) == [50 + stands]
    # A cut 0.4 s behind the end of a stutter in one scene is told too.
    short = [*first[:30], *[first[30]] * stands, *first[40:50], *second]
    assert shots(short, range(len(short))) == [40 + stands]


@pytest.mark.real
@pytest.mark.parametrize("at", [58, *(pytest.param(at, marks=pytest.mark.slow) for at in (62, 66))])
def test_what_follows_a_stutter_of_a_real_talker_is_no_cut(shared: Path, at: int) -> None:
    with MediaFile(shared / "assets/video/latentsync_demo2.mp4", make_recipe().defaults.media) as media:
        images = [entry.frame.to_ndarray(format="bgr24") for entry in islice(media.frames(), 130)]
    frames = [cv2.resize(image, (256, 455), interpolation=cv2.INTER_AREA) for image in images]
    assert shots(stutter(frames, at, 9), range(130)) == []


def test_the_score_of_a_frame_has_the_bits_of_pyscenedetect() -> None:
    draw = np.random.default_rng(0)
    frames = [draw.integers(0, 256, (90, 161, 3), dtype=np.uint8) for _ in range(6)]
    frames += [np.roll(frames[0] // shade, shade, axis=1) for shade in (1, 2, 7)]
    theirs, ours = ContentDetector(), shot_boundaries._Content()
    scores = []
    for number, frame in enumerate(frames):
        time = FrameTimecode(number, 25.0)
        ours.process_frame(time, frame)  # where their method has another name, ours is not called and keeps no frame
        theirs.process_frame(time, frame)
        scores.append((ours._frame_score, theirs._frame_score))
    assert ours._last_hsv_HWC is not None
    assert all(ours == theirs for ours, theirs in scores)
    assert len(set(scores)) == len(frames)
