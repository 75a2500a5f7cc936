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
    assert [c.passed for c in faces.decide(scores, DEFAULT.faces)][2:] == [None] * 5
