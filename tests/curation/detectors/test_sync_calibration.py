"""What the curves of lips and sound decide: which peaks are told, above which lead, and who is in which fold."""

import numpy as np
import pytest
from avf_curation.detectors.sync_calibration import LearningClip, PieceScore, calibrate, split_into_folds
from avf_curation.detectors.sync_head import weigh_curves
from avf_shards.errors import UserError
from support.talks import make_talk


@pytest.mark.parametrize(("motion", "is_told"), [(0.129, False), (0.13, True)])
@pytest.mark.parametrize("alone", ["likeness", "envelope"])
def test_a_peak_of_one_curve_alone_counts_only_where_the_mouth_moves(alone: str, motion: float, is_told: bool) -> None:
    flat_S = np.tile([0.0, 1.0, 2.0], 11)[:31]
    peak_S = flat_S.copy()
    peak_S[15 - 11] += 20
    curves = (peak_S, flat_S) if alone == "likeness" else (flat_S, peak_S)
    offset, lead = weigh_curves(*curves, motion, 8.0)
    assert (offset, lead > 0) == (-11, is_told)


@pytest.mark.parametrize(("apart", "is_told"), [(2, True), (3, False)])
def test_of_a_mouth_that_moves_little_both_curves_must_have_the_peak(apart: int, is_told: bool) -> None:
    flat_S = np.tile([0.0, 1.0, 2.0], 11)[:31]
    high_S, low_S = flat_S.copy(), flat_S.copy()
    high_S[15] += 20
    low_S[15 + apart] += 10
    offset, lead = weigh_curves(high_S, low_S, 0.05, 8.0)
    assert (offset, lead > 0) == (0, is_told)


@pytest.mark.parametrize(
    ("offset", "motion", "is_told"),
    [(0, 0.129, True), (-1, 0.129, True), (1, 0.129, True), (-2, 0.129, False), (2, 0.129, False), (-2, 0.13, True)],
)
def test_of_a_mouth_that_moves_little_only_an_offset_of_about_0_is_told(
    offset: int, motion: float, is_told: bool
) -> None:
    curve_S = np.tile([0.0, 1.0, 2.0], 11)[:31]
    curve_S[15 + offset] += 20
    measured, lead = weigh_curves(curve_S, curve_S, motion, 8.0)
    assert (measured, lead > 0) == (offset, is_told)


def make_piece(peak: int, height: float, true_offset: int) -> PieceScore:
    """Return a piece of 8 s whose peak leads by about `height`."""
    curve_S = np.tile([0.0, 1.0], 16)[:31].copy()
    curve_S[15 + peak] += height
    return PieceScore(
        clip=0, length_s=8, true_offset=true_offset, likeness_S=curve_S, envelope_S=curve_S, mouth_motion=1.0
    )


def test_the_unit_is_the_least_lead_above_which_offsets_are_right() -> None:
    right = [make_piece(2, 10 + number, 2) for number in range(30)]
    wrong = [make_piece(2, 4, -7) for _ in range(10)]
    trust = calibrate([*wrong, *right])
    assert (trust.told_share, trust.right_share) == (0.75, 1.0)
    assert trust.unit == right[0].peak()[1] > wrong[0].peak()[1]
    with pytest.raises(
        UserError, match=r"of 19 pieces of people who were held out, 19 have an offset .* 20 are needed"
    ):
        calibrate(right[:19])
    with pytest.raises(UserError, match=r"of 10 pieces .*, 0 have an offset"):
        calibrate(wrong)


def test_no_person_is_in_two_folds() -> None:
    talk = make_talk(0)
    patches = np.zeros((1, 1, 1, 3), np.uint8)
    people = [("a", "x"), ("b", "x"), ("a", "y"), ("a", "x"), ("a", "z")]
    clips = [
        LearningClip(source=s, person=p, talk=talk, measured_TD=talk.distances_TD, patches_THWC=patches)
        for s, p in people
    ]
    folds = split_into_folds(clips)
    assert sorted(number for fold in folds for number in fold) == [0, 1, 2, 3, 4]
    assert [fold for fold in folds if 0 in fold] == [[0, 3]]
    assert len(folds) == 4
    with pytest.raises(UserError, match="of one person"):
        split_into_folds([clips[0], clips[3]])
