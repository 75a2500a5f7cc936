"""Metrics agree with scikit-learn, scipy and cases computed by hand."""

import numpy as np
import pytest
from avf_training.evaluation import metrics
from scipy.stats import pearsonr
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score


@pytest.mark.parametrize("seed", range(20))
def test_classification_metrics_agree_with_scikit_learn(seed: int) -> None:
    draw = np.random.default_rng(seed)
    classes = int(draw.integers(2, 8))
    truth = draw.integers(0, classes, 200)
    result = np.where(draw.random(200) < 0.6, truth, draw.integers(0, classes, 200))
    counts = metrics.confusion(truth, result, classes)
    assert metrics.war(counts).value == pytest.approx((truth == result).mean())
    assert metrics.uar(counts).value == pytest.approx(balanced_accuracy_score(truth, result))
    assert metrics.weighted_f1(counts).value == pytest.approx(f1_score(truth, result, average="weighted"))
    assert metrics.macro_f1(counts).value == pytest.approx(f1_score(truth, result, average="macro"))
    logits = draw.normal(size=(200, classes)).round(1) + np.eye(classes)[truth]
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    of_one = scores[:, 1] if classes == 2 else scores
    assert metrics.auc(truth, scores).value == pytest.approx(roc_auc_score(truth, of_one, multi_class="ovr"))


@pytest.mark.parametrize("seed", range(10))
def test_regression_metrics_agree_with_scipy(seed: int) -> None:
    draw = np.random.default_rng(seed)
    truth = draw.normal(size=50)
    result = 0.5 * truth + draw.normal(size=50) + 0.3
    assert metrics.pcc(truth, result).value == pytest.approx(pearsonr(truth, result).statistic)
    cov = np.cov(truth, result)
    by_hand = 2 * cov[0, 1] / (cov[0, 0] + cov[1, 1] + (truth.mean() - result.mean()) ** 2)
    assert metrics.ccc(truth, result).value == pytest.approx(by_hand)
    assert metrics.ccc(truth, truth).value == pytest.approx(1)


def test_metrics_agree_with_values_by_hand() -> None:
    counts = metrics.confusion([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 0], 4)
    assert counts.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert metrics.war(counts).value == pytest.approx(3 / 6)
    assert metrics.uar(counts).value == pytest.approx((2 / 3 + 1 / 2 + 0) / 3), "a class without samples is no class"
    assert metrics.f1(counts).tolist() == pytest.approx([4 / 7, 1 / 2, 0, 0])
    assert metrics.macro_f1(counts).value == pytest.approx((4 / 7 + 1 / 2) / 3)


def test_uf1_of_summed_folds_is_not_the_mean_of_the_folds() -> None:
    """MEGC 2019: leave-one-subject-out has folds without some class; the counts are summed first."""
    first_fold = metrics.confusion([0, 0], [0, 1], 3)
    second_fold = metrics.confusion([1, 2], [1, 2], 3)
    assert metrics.macro_f1(first_fold + second_fold).value == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


@pytest.mark.parametrize(
    ("score", "why"),
    [
        (metrics.pcc(np.ones(4), np.arange(4.0)), "the target is constant (1)"),
        (metrics.pcc(np.arange(4.0), np.zeros(4)), "the prediction is constant (0)"),
        (metrics.ccc(np.full(3, 0.5), np.arange(3.0)), "the target is constant (0.5)"),
        (metrics.ccc(np.ones(1), np.ones(1)), "fewer than two samples"),
        (metrics.war(np.zeros((3, 3), np.int64)), "there is no sample"),
        (metrics.auc([0, 0], np.eye(2)), "class 1 has no sample"),
        (metrics.recalls(np.array([[0, 0], [1, 1]]))[0], "class 0 has no sample"),
    ],
)
def test_an_undefined_metric_gives_the_reason(score: metrics.MetricValue, why: str) -> None:
    assert score.value is None
    assert score.undefined == why
    assert str(score) == f"undefined ({why})"


def test_an_unknown_class_is_named() -> None:
    with pytest.raises(ValueError, match="sample 1: class 0 predicted as 3, there are 3"):
        metrics.confusion([0, 0], [0, 3], 3)
