"""Of several faces the one that speaks in most frames is the speaker; curves are kept as text."""

from dataclasses import replace

import numpy as np
import pytest
from avf_curation.recipe import load_recipe
from avf_curation.stages import speaker
from avf_shards.errors import FaultError, UserError
from avf_shards.schema.curve import MOUTH_STEP, SOUND_STEP, SPEAKING_STEP, read_curve, write_curve

CONFIG = load_recipe().defaults.speaker
SILENT = np.full(10, -1.0, np.float32)
BRIEF = np.array([9, 9] + 8 * [-1], np.float32)
LONG = np.array(7 * [0.5] + 3 * [-1], np.float32)
FACE = np.zeros((10, 112, 112), np.uint8)
SOUND = np.zeros(6400, np.int16)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([SILENT], 0),
        ([BRIEF, LONG], 1),
        ([LONG, BRIEF], 0),
        ([SILENT, SILENT - 1], 0),
        ([SILENT - 1, SILENT], 1),
        ([LONG, LONG], 0),
        ([LONG, LONG + np.float32(0.25)], 1),
    ],
)
def test_the_speaker_is_who_speaks_longest_then_surest_then_largest(scores: list[np.ndarray], expected: int) -> None:
    assert speaker.choose_speaker(scores) == expected


def test_pauses_count_against_the_share_and_other_faces_only_where_one_is_kept() -> None:
    alone = speaker.measure([BRIEF, LONG, SILENT], FACE, SOUND, others_count=True)
    assert (alone.speaking_share, alone.other_share, alone.face, alone.faces) == (0.7, 0.2, 1, 3)
    assert [check.reason for check in speaker.decide(alone, CONFIG)] == ["not_speaking", "another_speaks"]
    assert all(check.passed for check in speaker.decide(alone, CONFIG))
    assert [c.passed for c in speaker.decide(alone, replace(CONFIG, max_other_share=0.1))] == [True, False]
    each = speaker.measure([BRIEF, LONG], FACE, SOUND, others_count=False)
    assert [check.reason for check in speaker.decide(each, CONFIG)] == ["not_speaking"]
    assert speaker.measure([LONG], FACE, SOUND, others_count=True).other_share == 0
    assert [check.passed for check in speaker.decide(replace(each, speaking_share=0.29), CONFIG)] == [False]


def test_the_curves_have_a_value_for_each_frame() -> None:
    faces_THW = FACE.copy()
    faces_THW[4:, 60, :] = 112  # the line of the mouth changes once
    record = speaker.measure([LONG], faces_THW, SOUND + 1000, others_count=False).record()
    mouth_T = read_curve(record["mouth_curve"], MOUTH_STEP, "mouth")
    assert np.flatnonzero(mouth_T).tolist() == [4]
    assert mouth_T[4] == 2  # of the 56 lines of the mouth one has changed by 112
    np.testing.assert_array_equal(read_curve(record["speaking_curve"], SPEAKING_STEP, "speaking"), LONG)
    np.testing.assert_array_equal(read_curve(record["sound_curve"], SOUND_STEP, "sound"), np.full(10, -30.0))


def test_a_curve_is_rounded_and_bounded_and_other_text_is_a_fault() -> None:
    assert read_curve(
        write_curve(
            [0.04, -0.06, 50, -50],
            0.1,
        ),
        0.1,
        "x",
    ).tolist() == pytest.approx([0, -0.1, 12.7, -12.8])
    assert read_curve(write_curve([], 1.0), 1.0, "x").tolist() == []
    for text in ("!", "abc", "äöüß"):
        with pytest.raises(FaultError, match="speaking_curve: is no curve"):
            read_curve(text, 0.1, "speaking_curve")


def test_shares_are_shares() -> None:
    with pytest.raises(UserError, match=r"min_share 1\.3 is not a share"):
        load_recipe(None, ["speaker.min_share=1.3"])
