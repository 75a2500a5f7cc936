"""The tracking stage follows a face with one crop window, and rejects lost and second faces."""

import numpy as np
import pytest
from avf_curation.stages import tracking
from support.curation_runs import make_recipe
from support.stages import failed_reasons, make_box

DEFAULT = make_recipe().defaults


def moving_face_detector(frames: int, hide: set[int] = frozenset(), rival: bool = False):
    requested_frames: list[int] = []

    def detect(frame_numbers):
        requested_frames.extend(frame_numbers)
        boxes_per_frame = []
        for t in frame_numbers:
            boxes = [] if t in hide else [make_box(200 + 1.5 * t, 120)]
            boxes_per_frame.append(boxes + ([make_box(600, 110)] if rival else []))
        return boxes_per_frame

    return detect, requested_frames


def test_a_moving_face_is_tracked_with_one_crop_window() -> None:
    detect, requested_frames = moving_face_detector(100)
    (track,) = tracking.measure(100, detect, 1000, 600, DEFAULT.track)
    assert track is not None
    assert failed_reasons(tracking.decide(track, DEFAULT.track)) == []
    assert sorted(requested_frames) == [*range(0, 99, DEFAULT.track.every), 99]
    assert track.window.side_px == pytest.approx(180)
    np.testing.assert_allclose(track.window.centres_T2[:, 0], 260 + 1.5 * np.arange(100), atol=2)


def test_detection_is_denser_where_the_face_moves() -> None:
    def detect_jump(frame_numbers):
        return [[make_box(100 + (300 if t > 52 else 0), 120)] for t in frame_numbers]

    slow, fast = moving_face_detector(100), []
    tracking.measure(100, slow[0], 1000, 600, DEFAULT.track)

    def detect_and_record(frame_numbers):
        fast.extend(frame_numbers)
        return detect_jump(frame_numbers)

    (track,) = tracking.measure(100, detect_and_record, 1000, 600, DEFAULT.track)
    assert len(fast) > len(slow[1])
    assert {52, 53} <= set(fast)
    assert track is not None
    assert "face_lost" in failed_reasons(tracking.decide(track, DEFAULT.track))


def test_lost_faces_and_second_faces_are_rejected() -> None:
    (lost,) = tracking.measure(100, moving_face_detector(100, hide=set(range(40, 100)))[0], 1000, 600, DEFAULT.track)
    assert failed_reasons(tracking.decide(lost, DEFAULT.track)) == ["face_lost"]
    (rival,) = tracking.measure(100, moving_face_detector(100, rival=True)[0], 1000, 600, DEFAULT.track)
    assert failed_reasons(tracking.decide(rival, DEFAULT.track)) == ["several_faces"]
    assert failed_reasons(tracking.decide(None, DEFAULT.track)) == ["face_lost"]
