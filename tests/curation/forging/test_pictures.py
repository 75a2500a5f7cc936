"""Forged pictures are other in the face or the stretch that the truth names, and nowhere else."""

import numpy as np
from avf_curation.forging.pictures import repeat_frames, still_mouth, swap_face
from avf_curation.forging.takes import find_boxes
from avf_curation.media.types import Bytes

BOX = np.array([60.0, 40.0, 140.0, 130.0])  # left, top, right, bottom


def make_frames(seed: int, frames: int = 60) -> Bytes:
    """Return frames of smooth noise that changes from frame to frame."""
    draw = np.random.default_rng(seed)
    small = draw.integers(0, 255, (frames, 18, 25, 3), dtype=np.uint8)
    return np.asarray(small.repeat(10, 1).repeat(8, 2), np.uint8)


def make_boxes(frames: int, step_px: float = 0.0) -> np.ndarray:
    return BOX + step_px * np.arange(frames)[:, None]


def test_frames_are_shown_again_in_their_stretch_alone() -> None:
    frames_THWC = make_frames(0)
    out_THWC = repeat_frames(frames_THWC, (30, 42))
    assert np.array_equal(out_THWC[30:42], frames_THWC[18:30])
    assert np.array_equal(np.delete(out_THWC, np.s_[30:42], 0), np.delete(frames_THWC, np.s_[30:42], 0))


def test_the_mouth_stands_still_and_goes_with_the_face() -> None:
    frames_THWC, boxes_T4 = make_frames(1), make_boxes(60, step_px=0.5)
    out_THWC = still_mouth(frames_THWC, boxes_T4, (20, 50))
    assert np.array_equal(out_THWC[:21], frames_THWC[:21])
    assert np.array_equal(out_THWC[50:], frames_THWC[50:])
    y, x = round(40 + 0.76 * 90), 100  # centre of the mouth of frame 0
    for t in (30, 48):
        moved = round(0.5 * t)
        shift = round(0.5 * (t - 20))
        mouth = out_THWC[t, y + moved - 4 : y + moved + 5, x + moved - 6 : x + moved + 7]
        first = frames_THWC[
            20, y + moved - shift - 4 : y + moved - shift + 5, x + moved - shift - 6 : x + moved - shift + 7
        ]
        assert np.abs(mouth.astype(int) - first).max() <= 1
        assert np.array_equal(out_THWC[t, : 40 + moved], frames_THWC[t, : 40 + moved])


def test_another_face_has_the_colours_of_the_first_and_stays_in_the_face() -> None:
    frames_THWC, donor_THWC = make_frames(2), make_frames(3, frames=40)
    frames_THWC[..., 2] //= 3
    out_THWC = swap_face(frames_THWC, make_boxes(60), donor_THWC, make_boxes(40))
    inside = np.s_[:, 70:100, 85:115]
    assert np.abs(out_THWC[inside].astype(int) - frames_THWC[inside]).mean() > 20
    assert abs(out_THWC[inside][..., 2].mean() - frames_THWC[inside][..., 2].mean()) < 12
    assert np.array_equal(out_THWC[:, :, :40], frames_THWC[:, :, :40])
    assert np.array_equal(out_THWC[:, 160:], frames_THWC[:, 160:])


def test_a_face_at_the_border_is_no_fault() -> None:
    frames_THWC, boxes_T4 = make_frames(4), make_boxes(60) + np.array([120, -60, 120, -60])
    assert swap_face(frames_THWC, boxes_T4, make_frames(5), make_boxes(60)).shape == frames_THWC.shape
    assert still_mouth(frames_THWC, boxes_T4 + 400, (10, 40)).shape == frames_THWC.shape


def test_a_picture_without_a_face_has_no_boxes() -> None:
    assert find_boxes(np.full((20, 180, 200, 3), 120, np.uint8)) is None
