"""The faces stage counts and measures faces, and rejects each fault."""

import pytest
from avf_curation.stages import faces
from avf_curation.stages.faces import Box
from support.curation_runs import make_recipe
from support.stages import failed_reasons, make_box

DEFAULT = make_recipe().defaults


@pytest.mark.parametrize(
    ("boxes_per_frame", "expected"),
    [
        ([[make_box()]] * 5, []),
        ([[]] * 5, ["no_face"]),
        ([[make_box()]] * 3 + [[]] * 2, []),
        ([[make_box(), make_box(300)]] * 5, ["several_faces"]),
        ([[make_box(side=40)]] * 5, ["too_small"]),
        ([[make_box(side=60)], [make_box(side=180)]], ["size_jump"]),
        ([[make_box(x=-60)]] * 5, ["out_of_frame"]),
        ([[Box(left=100, top=100, right=200, bottom=700)]] * 5, ["too_narrow"]),
    ],
)
def test_face_checks_reject_each_fault(boxes_per_frame: list[list[Box]], expected: list[str]) -> None:
    assert failed_reasons(faces.decide(faces.measure(boxes_per_frame, 1000, 1000), DEFAULT.faces)) == expected


def test_a_shot_without_faces_has_no_face_size() -> None:
    scores = faces.measure([[], []], 100, 100)
    assert scores.face_px is None
    assert [c.passed for c in faces.decide(scores, DEFAULT.faces)][3:] == [None] * 5


@pytest.mark.parametrize(("turned_share", "expected"), [(0.4, []), (0.6, ["turned"])])
def test_a_face_that_is_turned_in_most_frames_is_rejected(turned_share: float, expected: list[str]) -> None:
    scores = faces.measure([[make_box()]] * 5, 1000, 1000, turned_share)
    assert failed_reasons(faces.decide(scores, DEFAULT.faces)) == expected
    assert scores.record()["turned_share"] == turned_share


def test_the_square_of_a_face_is_the_same_by_a_box_that_reaches_up_to_the_hair() -> None:
    """RetinaFace's boxes are 0.913 as wide and 1.264 as high as dlib's, and their centre is 0.073 higher."""
    by_dlib = Box(left=100, top=50, right=300, bottom=250)
    assert by_dlib.square == (200, 150, 200)
    by_retinaface = Box(
        left=200 - 0.913 * 100, top=150 - 14.6 - 126.4, right=200 + 0.913 * 100, bottom=150 - 14.6 + 126.4
    )
    assert by_retinaface.square == pytest.approx((200, 150, 200), abs=2)
