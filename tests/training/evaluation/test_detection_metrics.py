"""Calibration, kinds of forgery and intervals over originals, by hand and by simulation."""

import numpy as np
import pytest
from avf_training.evaluation.bootstrap import bootstrap_intervals
from avf_training.evaluation.detection_metrics import (
    calibration_metrics,
    fake_bins,
    score_detection,
    score_kinds,
)


def test_calibration_is_as_computed_by_hand() -> None:
    truth, scores = [0, 1, 1, 1], [0.12, 0.18, 0.75, 1.0]
    assert [(each.files, each.fakes) for each in fake_bins(truth, scores)] == [(2, 0.5), (1, 1.0), (1, 1.0)]
    values = {name: each.value for name, each in calibration_metrics(truth, scores).items()}
    assert values["ECE"] == pytest.approx((2 * 0.35 + 0.25 + 0) / 4)
    assert values["Brier"] == pytest.approx((0.12**2 + 0.82**2 + 0.25**2) / 4)
    assert calibration_metrics([], [])["ECE"].undefined == "there is no file"
    assert tuple(score_detection(truth, scores)) == ("AUC", "AP", "EER", "TPR_at_1", "TPR_at_5", "ECE", "Brier")


def test_each_kind_is_scored_against_all_reals() -> None:
    truth = [0, 0, 1, 1, 1, 1]
    kinds = ["real", None, "face", "late", "face", None]
    by_name = {each.name: each for each in score_kinds(truth, [0.1, 0.4, 0.9, 0.3, 0.8, 0.0], kinds)}
    assert set(by_name) == {"face", "late"}  # a kind of a real is none, and a fake without a kind is of none
    assert (by_name["face"].fakes, by_name["face"].reals, by_name["face"].scores["AUC"]) == (2, 2, 1.0)
    assert by_name["late"].scores["AUC"] == 0.5


def test_an_interval_is_as_wide_as_there_are_originals_not_files() -> None:
    draw = np.random.default_rng(0)
    originals = np.repeat(np.arange(40), 2)
    truth = np.tile([0, 1], 40)
    scores = draw.normal(size=40)[originals] * 0.3 + truth * 0.4 + draw.normal(size=80) * 0.3
    once = bootstrap_intervals(truth.tolist(), scores.tolist(), originals.astype(str).tolist())["AUC"]
    # Each file ten times says no more than once: an interval over files would shrink to a third.
    many = [np.repeat(values, 10).tolist() for values in (truth, scores, originals.astype(str))]
    again = bootstrap_intervals(*many)["AUC"]
    assert once.low is not None
    assert once.high is not None
    assert (again.low, again.high) == pytest.approx((once.low, once.high))
    value = score_detection(truth.tolist(), scores.tolist())["AUC"].value
    assert value is not None
    assert once.low < value < once.high


def test_an_interval_that_cannot_be_has_a_reason() -> None:
    few = bootstrap_intervals([0, 1], [0.1, 0.9], ["a", "b"])["AUC"]
    assert few.reason == "too few: 2 originals, 5 are needed"
    one_class = bootstrap_intervals([1] * 6, [0.5] * 6, list("abcdef"))["EER"]
    assert one_class.as_list() is None
    assert one_class.reason == "the metric is undefined"
