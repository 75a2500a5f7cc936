"""Weights and forests fitted on development videos: weighted sums by Dirichlet draws, and stacked random forests.

M members, N frames of these videos, D outputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.combination.plan import EnsemblePlan
from avf_training.framewise.ensemble.dirichlet_fusion import fit_dirichlet_fusion, fuse_models
from avf_training.framewise.ensemble.forest_stacking import (
    MOST_FOLDS,
    StackedForest,
    fit_left_out,
    predict_likelihoods,
    stack_classifier,
    stack_regressors,
)
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.predictions.frame_statistics import MEAN, count_frames, score_statistics


@dataclass(frozen=True, kw_only=True)
class FittingRows:
    """Every frame with a valid label, of all development videos."""

    likelihoods_MND: Floats  # of the members, smoothed
    truth_NK: npt.NDArray[np.float32]  # labels
    groups_N: list[str]  # what is left out together: the person or media file of each frame

    def take(self, chosen_N: npt.NDArray[np.bool_]) -> "FittingRows":
        """Return some of the frames."""
        return FittingRows(
            likelihoods_MND=self.likelihoods_MND[:, chosen_N],
            truth_NK=self.truth_NK[chosen_N],
            groups_N=[group for group, chosen in zip(self.groups_N, chosen_N, strict=True) if chosen],
        )


@dataclass(frozen=True, kw_only=True)
class FittedWeights:
    """Weights of each output over the members."""

    weights_MD: Floats  # columns sum to 1
    score: float  # on the frames that they were chosen on
    left_out: float | None  # of groups, each by weights chosen without it; None with fewer than two groups

    def answer(self, likelihoods_MND: Floats, group: str | None) -> Floats:
        """Return the weighted sum, limited to what a likelihood may be."""
        return fuse_models(likelihoods_MND, self.weights_MD)


@dataclass(frozen=True, kw_only=True)
class FittedForests:
    """Forests over the members' answers, and those fitted without each group."""

    stacked: StackedForest
    left_out: dict[str, tuple[Any, ...]]  # group -> forests that have not seen it

    def answer(self, likelihoods_MND: Floats, group: str | None) -> Floats:
        """Return the forests' answer; of a group that was fitted on, by forests that were not."""
        forests = self.left_out.get(group or "", self.stacked.forests)
        return predict_likelihoods(forests, _forest_inputs(likelihoods_MND, len(forests) > 1))


Fitted = FittedWeights | FittedForests


def score_fitting_rows(task: FrameLabelTask, truth_NK: npt.NDArray[np.float32], likelihoods_ND: Floats) -> float:
    """Return the challenge's score of frames; nan where undefined."""
    value = score_statistics(task, count_frames(task, truth_NK, likelihoods_ND))[MEAN].value
    return float("nan") if value is None else value


def fit_weights(plan: EnsemblePlan, rows: FittingRows) -> FittedWeights:
    """Return the weights that score best of those drawn, and the score of groups that were left out of the choice."""
    task, method = plan.label_task, plan.method

    def choose(part: FittingRows) -> tuple[Floats, float]:
        fusion = fit_dirichlet_fusion(
            part.likelihoods_MND,
            lambda likelihoods_ND: score_fitting_rows(task, part.truth_NK, likelihoods_ND),
            matrices=method.matrices,
            seed=method.seed,
        )
        return fusion.weights_MD, fusion.score

    weights_MD, score = choose(rows)
    left_out = np.full((rows.likelihoods_MND.shape[1], task.outputs), np.nan)
    for part_N in _group_folds(rows.groups_N):
        others_MD, _ = choose(rows.take(~part_N))
        left_out[part_N] = fuse_models(rows.likelihoods_MND[:, part_N], others_MD)
    grouped = None if np.isnan(left_out).any() else score_fitting_rows(task, rows.truth_NK, left_out)
    return FittedWeights(weights_MD=weights_MD, score=score, left_out=grouped)


def fit_forests(plan: EnsemblePlan, rows: FittingRows) -> FittedForests:
    """Return the forests of the best setting, and those without each group."""
    task, method = plan.label_task, plan.method
    inputs = _forest_inputs(rows.likelihoods_MND, task.name == "va")
    sizes = method.forest_sizes(task)
    if task.name == "va":
        truth_ND = rows.truth_NK.astype(np.float64)
        stacked = stack_regressors(inputs, truth_ND, rows.groups_N, trees=sizes, seed=method.seed)
        targets: Sequence[Any] = list(truth_ND.T)
    else:
        labels_N = rows.truth_NK[:, 0].astype(np.int64)
        stacked = stack_classifier(inputs[0], labels_N, rows.groups_N, trees=sizes, seed=method.seed)
        targets = [labels_N]
    return FittedForests(stacked=stacked, left_out=fit_left_out(stacked, inputs, targets, rows.groups_N))


def _forest_inputs(likelihoods_MND: Floats, per_output: bool) -> list[Floats]:
    """Return what forests look at: each output's values by all members, (N, M), or all probabilities, (N, M * D)."""
    if per_output:
        return [likelihoods_MND[..., output].T for output in range(likelihoods_MND.shape[2])]
    members, frames, outputs = likelihoods_MND.shape
    return [likelihoods_MND.transpose(1, 0, 2).reshape(frames, members * outputs)]


def _group_folds(groups_N: Sequence[str]) -> list[npt.NDArray[np.bool_]]:
    """Return the frames of each of at most five parts, no group in two of them; none with fewer than two groups."""
    from sklearn.model_selection import GroupKFold  # a second to import

    names = np.array(groups_N)
    groups = len(set(groups_N))
    if groups < 2:
        return []
    folds = []
    for _, test in GroupKFold(n_splits=min(MOST_FOLDS, groups)).split(names, groups=names):
        part_N = np.zeros(len(names), bool)
        part_N[test] = True
        folds.append(part_N)
    return folds
