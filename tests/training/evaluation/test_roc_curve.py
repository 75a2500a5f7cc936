"""The ROC curve and its numbers agree with scikit-learn and with the field's code; one class alone has no number."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from avf_training.evaluation.roc_curve import CURVE_METRICS, RankedScores, curve_metrics, trace_roc
from sklearn.metrics import average_precision_score, roc_auc_score


@pytest.mark.real
def test_each_number_is_that_of_the_fields_code(shared: Path) -> None:
    cases: dict[str, Any] = json.loads((shared / "oracles" / "applications" / "binary_scores.json").read_text())
    assert {"ties", "constant", "reversed", "imbalanced_200"} <= cases.keys()
    for name, case in cases.items():
        curve = trace_roc(case["truth"], case["score"])
        assert curve is not None
        computed = {
            "auc": curve.auc,
            "ap": curve.average_precision,
            "eer_crossing": curve.equal_error_rate,
            "eer_nearest": curve.equal_error_rate_nearest,
            **{f"tpr_at_fpr_{share}": curve.detected_at(share) for share in (0.01, 0.05, 0.1)},
        }
        assert computed == pytest.approx({key: case[key] for key in computed}, abs=1e-12), name
        if case["roc"]:
            points = np.stack([curve.false_alarms_P, curve.detected_P], 1)
            assert points == pytest.approx(np.array(case["roc"]), abs=1e-12), name


@pytest.mark.parametrize("seed", range(10))
def test_areas_are_those_of_scikit_learn_with_ties(seed: int) -> None:
    draw = np.random.default_rng(seed)
    truth = [0, 1, *draw.integers(0, 2, 100).tolist()]
    scores = (draw.random(102) + 0.3 * np.array(truth)).round(1)
    curve = trace_roc(truth, scores.tolist())
    assert curve is not None
    assert curve.auc == pytest.approx(roc_auc_score(truth, scores))
    assert curve.average_precision == pytest.approx(average_precision_score(truth, scores))


def test_a_weight_counts_as_so_many_files() -> None:
    truth, scores, times = [0, 1, 1, 0, 1], [0.2, 0.9, 0.2, 0.4, 0.5], [2, 1, 3, 0, 2]
    weighted = RankedScores.of(truth, scores).curve(np.array(times, float))
    repeated = trace_roc(np.repeat(truth, times).tolist(), np.repeat(scores, times).tolist())
    assert weighted is not None
    assert repeated is not None
    assert weighted.numbers() == pytest.approx(repeated.numbers())
    assert weighted.threshold_P.tolist() == repeated.threshold_P.tolist()


@pytest.mark.parametrize(
    ("truth", "reason"), [([1, 1], "there is no real file"), ([0], "there is no fake file"), ([], "there is no file")]
)
def test_one_class_alone_has_no_number_but_a_reason(truth: list[int], reason: str) -> None:
    scores = curve_metrics(truth, [0.5] * len(truth))
    assert tuple(scores) == CURVE_METRICS
    assert {each.value for each in scores.values()} == {None}
    assert {each.undefined for each in scores.values()} == {reason}


def test_what_is_no_truth_and_no_score_is_refused() -> None:
    with pytest.raises(ValueError, match="file 1: truth 2"):
        trace_roc([0, 2], [0.1, 0.2])
    with pytest.raises(ValueError, match="score nan"):
        trace_roc([0, 1], [0.1, float("nan")])
    with pytest.raises(ValueError, match="2 truths and 1 scores"):
        trace_roc([0, 1], [0.1])
