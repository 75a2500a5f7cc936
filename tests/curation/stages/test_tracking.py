"""The tracking stage follows a face with one crop window, and rejects lost and second faces."""

from dataclasses import replace

import numpy as np
import pytest
from avf_curation.stages import tracking
from avf_shards.timeline import Span
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


def test_a_span_is_cut_where_another_face_has_the_picture() -> None:
    def detect(frame_numbers):
        return [[make_box(200 if t < 60 else 500, 120)] if not 60 <= t < 64 else [] for t in frame_numbers]

    span = Span(100, 200)
    (track,) = tracking.measure(100, detect, 1000, 600, DEFAULT.track)
    parts = tracking.split_at_other_faces(track, span, DEFAULT.track)
    assert [part.span for part in parts] == [Span(100, 160), Span(160, 200)]
    assert not any(part.is_change for part in parts)
    (alone,) = tracking.measure(100, moving_face_detector(100, hide=set(range(80, 100)))[0], 1000, 600, DEFAULT.track)
    assert [part.span for part in tracking.split_at_other_faces(alone, span, DEFAULT.track)] == [span], "only lost"
    (beside,) = tracking.measure(100, moving_face_detector(100, rival=True)[0], 1000, 600, DEFAULT.track)
    assert [part.span for part in tracking.split_at_other_faces(beside, span, DEFAULT.track)] == [span]
    each = replace(DEFAULT.track, people="each")
    assert [part.span for part in tracking.split_at_other_faces(track, span, each)] == [span]


def test_a_change_of_the_face_is_a_part_of_its_own_and_takes_a_short_rest_with_it() -> None:
    (track,) = tracking.measure(100, moving_face_detector(100)[0], 1000, 600, DEFAULT.track)

    def split(start: int, stop: int, blend: float = 0.95) -> list[tuple[Span, bool]]:
        blended = replace(track, blend=blend, blend_frames=Span(start, stop))
        parts = tracking.split_at_other_faces(blended, Span(100, 200), DEFAULT.track)
        return [(part.span, part.is_change) for part in parts]

    assert split(40, 60) == [(Span(100, 140), False), (Span(140, 160), True), (Span(160, 200), False)]
    assert split(20, 50) == [(Span(100, 150), True), (Span(150, 200), False)]
    assert split(70, 90) == [(Span(100, 170), False), (Span(170, 200), True)]
    assert split(40, 60, blend=0.85) == [(Span(100, 200), False)]


def test_the_part_of_the_picture_that_holds_the_crop_ends_at_its_borders() -> None:
    window = tracking.CropWindow(side_px=100.0, centres_T2=np.array([[60.0, 40.0], [90.5, 70.0]]))
    assert window.box_px(640, 480) == (10.0, 0.0, 140.5, 120.0)
    assert window.box_px(120, 100) == (10.0, 0.0, 120.0, 100.0)
