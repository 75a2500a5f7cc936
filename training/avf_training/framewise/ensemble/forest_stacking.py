"""Random forests on the predictions of models, with two development scores.

The out-of-bag score is on single frames, and a frame's neighbours are in the bag: it leaks (.763 on development and
.4324 on test in SUN's table 5). The grouped score leaves whole videos out. N frames, F inputs.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from avf_training.evaluation.metrics import Floats, ccc
from avf_training.framewise.metrics import EXPRESSIONS, WholeNumbers, score_expressions

RegressionCriterion = Literal["squared_error", "absolute_error", "poisson"]
ClassCriterion = Literal["gini", "entropy"]
MOST_FOLDS = 5  # of the grouped score
TREES_OF_REGRESSION, TREES_OF_CLASSES = (10, 20, 50, 100), (10, 50, 100)


@dataclass(frozen=True, kw_only=True)
class StackedForest:
    """The forests of the best setting, one for each output, with both scores."""

    forests: tuple[Any, ...]  # of scikit-learn
    trees: int
    criterion: str
    out_of_bag: tuple[float, ...]  # score of each output on single frames; leaks
    grouped: float  # mean score over outputs with whole videos left out; nan with fewer than two videos
    tried: tuple[tuple[int, str, tuple[float, ...]], ...]  # (trees, criterion, out-of-bag scores) of every setting


def stack_regressors(
    inputs_per_output: Sequence[Floats],
    truth_ND: Floats,
    videos_N: Sequence[str],
    *,
    trees: Sequence[int] = TREES_OF_REGRESSION,
    criteria: Sequence[RegressionCriterion] = ("squared_error",),
    seed: int = 0,
) -> StackedForest:
    """Fit forests for valence and arousal; the setting with the best mean out-of-bag CCC stays.

    Args:
        inputs_per_output: the models' predictions of each output, (N, M).
        videos_N: video of each frame, for the grouped score.
    """
    from sklearn.ensemble import RandomForestRegressor  # a second to import

    random = np.random.RandomState(seed)

    def fit(size: int, criterion: str) -> tuple[Any, ...]:
        return tuple(
            RandomForestRegressor(n_estimators=size, criterion=criterion, oob_score=_ccc_of, random_state=random).fit(
                inputs, truth_ND[:, output]
            )
            for output, inputs in enumerate(inputs_per_output)
        )

    columns = [truth_ND[:, output] for output in range(truth_ND.shape[1])]
    return _best(fit, inputs_per_output, columns, videos_N, [(size, each) for size in trees for each in criteria])


def stack_classifier(
    probabilities_NF: Floats,
    labels_N: WholeNumbers,
    videos_N: Sequence[str],
    *,
    trees: Sequence[int] = TREES_OF_CLASSES,
    criteria: Sequence[ClassCriterion] = ("gini", "entropy"),
    seed: int = 0,
) -> StackedForest:
    """Fit a forest for expressions on all models' probabilities, with balanced classes; the best macro F1 stays."""
    from sklearn.ensemble import RandomForestClassifier  # a second to import

    random = np.random.RandomState(seed)

    def fit(size: int, criterion: str) -> tuple[Any, ...]:
        forest = RandomForestClassifier(
            n_estimators=size, criterion=criterion, class_weight="balanced", oob_score=_f1_of, random_state=random
        )
        return (forest.fit(probabilities_NF, labels_N),)

    return _best(fit, [probabilities_NF], [labels_N], videos_N, [(size, each) for size in trees for each in criteria])


def predict_stacked(stacked: StackedForest, inputs_per_output: Sequence[Floats]) -> Floats:
    """Return the prediction of each forest, (N, D)."""
    return np.stack(
        [forest.predict(inputs) for forest, inputs in zip(stacked.forests, inputs_per_output, strict=True)], 1
    )


def predict_likelihoods(forests: Sequence[Any], inputs_per_output: Sequence[Floats]) -> Floats:
    """Return values of regressors, (N, D), or the probabilities of all expressions by a classifier, (N, 8)."""
    if not hasattr(forests[0], "classes_"):
        return np.stack([forest.predict(inputs) for forest, inputs in zip(forests, inputs_per_output, strict=True)], 1)
    probabilities_NC = np.zeros((len(inputs_per_output[0]), len(EXPRESSIONS)))
    probabilities_NC[:, forests[0].classes_] = forests[0].predict_proba(inputs_per_output[0])
    return probabilities_NC


def fit_left_out(
    stacked: StackedForest, inputs_per_output: Sequence[Floats], targets: Sequence[Any], videos_N: Sequence[str]
) -> dict[str, tuple[Any, ...]]:
    """Return, for each video, forests of the best setting that were fitted without it; none with fewer than two videos.

    Args:
        targets: of each output, (N,).
        videos_N: video of each frame, or what else is left out together.
    """
    from sklearn.base import clone
    from sklearn.model_selection import GroupKFold

    names = np.array(videos_N)
    videos = len(set(videos_N))
    if videos < 2:
        return {}
    left_out: dict[str, tuple[Any, ...]] = {}
    for training, test in GroupKFold(n_splits=min(MOST_FOLDS, videos)).split(names, groups=names):
        forests = tuple(
            clone(forest).set_params(oob_score=False, random_state=0).fit(inputs[training], target[training])
            for forest, inputs, target in zip(stacked.forests, inputs_per_output, targets, strict=True)
        )
        left_out |= dict.fromkeys(map(str, set(names[test])), forests)
    return left_out


def _best(
    fit: Callable[[int, str], tuple[Any, ...]],
    inputs: Sequence[Floats],
    targets: Sequence[Any],
    videos_N: Sequence[str],
    settings: Sequence[tuple[int, str]],
) -> StackedForest:
    with warnings.catch_warnings():
        # With ten trees a few frames are in every bag; their out-of-bag prediction is 0 and counts, as in the code.
        warnings.filterwarnings("ignore", message="Some inputs do not have OOB scores")
        fitted = [(size, criterion, fit(size, criterion)) for size, criterion in settings]
    tried = tuple(
        (size, criterion, tuple(float(forest.oob_score_) for forest in forests)) for size, criterion, forests in fitted
    )
    best = int(np.argmax([np.mean(scores) for _, _, scores in tried]))
    size, criterion, forests = fitted[best]
    grouped = [_grouped_score(*each, videos_N) for each in zip(forests, inputs, targets, strict=True)]
    return StackedForest(
        forests=forests,
        trees=size,
        criterion=criterion,
        out_of_bag=tried[best][2],
        grouped=float(np.mean(grouped)),
        tried=tried,
    )


def _grouped_score(forest: Any, inputs_NF: Floats, target_N: Any, videos_N: Sequence[str]) -> float:
    """Return the score of predictions for videos that were left out, all together; five folds where there are five."""
    from sklearn.base import clone
    from sklearn.model_selection import GroupKFold, cross_val_predict

    videos = len(set(videos_N))
    if videos < 2:
        return float("nan")
    fresh = clone(forest).set_params(oob_score=False, random_state=0)
    folds = GroupKFold(n_splits=min(MOST_FOLDS, videos))
    predicted_N = cross_val_predict(fresh, inputs_NF, target_N, groups=list(videos_N), cv=folds)
    scorer = forest.oob_score
    return float(scorer(target_N, predicted_N))


def _ccc_of(truth: Floats, predicted: Floats) -> float:
    value = ccc(np.ravel(truth), np.ravel(predicted), moments="population").value
    return float("nan") if value is None else value


def _macro_f1_of(truth: WholeNumbers, predicted: WholeNumbers, classes: int) -> float:
    truth, predicted = np.ravel(truth).astype(np.int64), np.ravel(predicted).astype(np.int64)
    value = score_expressions(truth, predicted, classes).mean.value
    return float("nan") if value is None else value


_f1_of = partial(_macro_f1_of, classes=len(EXPRESSIONS))
