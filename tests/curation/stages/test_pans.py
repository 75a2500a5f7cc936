"""A pan from one person to another costs both of them the frames in which it carries their faces, and no others."""

import numpy as np
import pytest
from avf_curation.stages import tracking
from avf_shards.timeline import Span
from support.curation_runs import make_recipe
from support.stages import make_box

CONFIG = make_recipe().defaults.track
WIDTH_PX, SIDE_PX, DISTANCE_PX = 360, 120, 360  # of the picture, of a face, and between the two people


def detect_in_pan(camera_x: np.ndarray):
    """Return a detector of two people side by side, of whom it finds a face of which half is in the picture."""

    def detect(frame_numbers):
        return [
            [
                make_box(x, SIDE_PX)
                for x in (120 - camera_x[t], 120 + DISTANCE_PX - camera_x[t])
                if -SIDE_PX / 2 < x < WIDTH_PX - SIDE_PX / 2
            ]
            for t in frame_numbers
        ]

    return detect


def split(camera_x: np.ndarray) -> list[tuple[int, int]]:
    frames = len(camera_x)
    (track, *_) = tracking.measure(frames, detect_in_pan(camera_x), WIDTH_PX, 288, CONFIG)
    parts = tracking.split_at_other_faces(track, Span(0, frames), CONFIG)
    assert not any(part.is_change for part in parts)
    return [(part.span.start_frame, part.span.stop_frame) for part in parts]


@pytest.mark.parametrize("pan_frames", [10, 20, 50])
def test_each_person_has_what_is_before_and_behind_a_pan(pan_frames: int) -> None:
    frames = np.arange(60 + pan_frames + 80)
    parts = split(np.interp(frames, (60, 60 + pan_frames), (0, DISTANCE_PX)))
    assert parts[0][0] == 0
    assert 60 <= parts[0][1] <= 62
    assert 58 + pan_frames <= parts[-1][0] <= 60 + pan_frames
    assert parts[-1][1] == len(frames)
    assert len(parts) == 4


def test_a_pan_to_another_person_and_back_ends_and_begins_on_both_sides() -> None:
    frames = np.arange(200)
    parts = split(np.interp(frames, (70, 80, 100, 110), (0, DISTANCE_PX, DISTANCE_PX, 0)))
    assert [min(abs(edge - pan_edge) for edge, _ in parts[1:]) <= 2 for pan_edge in (70, 80, 100, 110)] == [True] * 4
    assert parts[0][1] <= 72
    assert parts[-1][0] >= 108


def test_a_face_that_moves_without_another_one_is_not_cut() -> None:
    frames = np.arange(150)
    assert split(np.interp(frames, (60, 80), (0, 150))) == [(0, 150)]


def test_a_cut_to_another_person_has_no_pan() -> None:
    frames = np.arange(150)
    assert split(np.where(frames < 60, 0, DISTANCE_PX - 120)) == [(0, 60), (60, 150)]
