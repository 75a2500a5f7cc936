"""AP and AR of forged segments are those of the owners' code, and of cases by hand."""

import json
from pathlib import Path

import pytest
from avf_training.evaluation.localisation import COUNTS, OVERLAPS, average_precision, average_recall, overlaps


@pytest.mark.real
def test_numbers_are_those_of_the_owners_code(shared: Path) -> None:
    case = json.loads((shared / "oracles" / "applications" / "localisation.json").read_text())
    proposals = {
        file: [(score, start / case["fps"], stop / case["fps"]) for score, start, stop in rows]
        for file, rows in case["proposals_score_start_end_frames"].items()
    }
    segments = case["segments_s"]
    for overlap in OVERLAPS:
        value = average_precision(proposals, segments, overlap, as_owners=True)
        assert value == pytest.approx(case["ap"][str(overlap)], abs=1e-6)
    for count in COUNTS:
        assert average_recall(proposals, segments, count) == pytest.approx(case["ar"][str(count)], abs=1e-6)


def test_overlap_is_shared_over_joined_time() -> None:
    assert overlaps([(0.9, 0.0, 2.0), (0.8, 5.0, 5.0)], [(1.0, 3.0), (5.0, 5.0)]).tolist() == [[1 / 3, 0], [0, 0]]


def test_a_perfect_detector_has_1_and_a_second_hit_is_an_error() -> None:
    segments = {"a": [(0.0, 1.0)], "b": [(2.0, 3.0)], "real": []}
    perfect = {"a": [(0.9, 0.0, 1.0)], "b": [(0.8, 2.0, 3.0)]}
    assert average_precision(perfect, segments, 0.5) == 1
    assert average_precision(perfect, segments, 0.5, as_owners=True) == 0.5
    twice = {"a": [(0.9, 0.0, 1.0), (0.85, 0.0, 1.0)], "b": [(0.8, 2.0, 3.0)]}
    assert average_precision(twice, segments, 0.5) == pytest.approx((1 + 2 / 3) / 2)
    assert average_recall(twice, segments, 1) == 1
    assert average_recall({}, segments, 5) == 0


def test_without_a_segment_there_is_no_number() -> None:
    assert average_precision({"a": [(0.9, 0.0, 1.0)]}, {"a": []}, 0.5) is None
    assert average_recall({}, {}, 5) is None
