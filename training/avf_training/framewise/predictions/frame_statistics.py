"""What the challenge's scores are computed from, a row for each video, so that videos can be left out.

The score of a set is that of all its frames together; the moments and counts of videos are merged for it, which is
exact, and far cheaper than to go through the frames of a set once for each person left out.

Shapes: N frames, U videos, D outputs, S statistics of an output.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avf_training.evaluation.intervals import MIN_UNITS, Interval, Rows, jackknife_interval
from avf_training.evaluation.metrics import Floats, MetricValue
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.metrics import AU_THRESHOLD

MEAN = "mean"
"""Name of the score of the challenge: the mean over all outputs."""

_N, _MEAN_T, _MEAN_P, _SQUARES_T, _SQUARES_P, _PRODUCTS, _LOW, _HIGH = range(8)


def count_frames(task: FrameLabelTask, truth_NK: npt.NDArray[np.float32], likelihoods_ND: Floats) -> Floats:
    """Return the statistics of a video's valid frames, (D, S).

    Of valence and arousal: frames, means, sums of squares and products around them, and the range of the truth. Of
    expressions: the confusion matrix. Of action units: right alarms, false alarms, misses, and frames.

    Args:
        truth_NK: labels; a frame with nan in any column does not count.
        likelihoods_ND: of the same frames.
    """
    valid_N = np.isfinite(truth_NK).all(1)
    truth_VK, likely_VD = truth_NK[valid_N].astype(np.float64), likelihoods_ND[valid_N]
    if task.name == "va":
        return _moments(truth_VK, likely_VD)
    if task.name == "au":
        true_VD, on_VD = truth_VK == 1, likely_VD >= AU_THRESHOLD
        counts = ((true_VD & on_VD).sum(0), (~true_VD & on_VD).sum(0), (true_VD & ~on_VD).sum(0))
        return np.stack([*counts, np.full(task.outputs, len(truth_VK))], 1).astype(np.float64)
    pairs_V = truth_VK[:, 0].astype(np.int64) * task.outputs + likely_VD.argmax(1)
    return np.bincount(pairs_V, minlength=task.outputs**2).reshape(task.outputs, task.outputs).astype(np.float64)


def merge_statistics(task: FrameLabelTask, statistics_UDS: Floats) -> Floats:
    """Return the statistics of all frames of some videos together, (D, S)."""
    if task.name != "va":
        return np.asarray(statistics_UDS.sum(0))
    counted_UDS = statistics_UDS[statistics_UDS[:, 0, _N] > 0]
    if not len(counted_UDS):
        return _moments(np.empty((0, task.outputs)), np.empty((0, task.outputs)))
    sizes_UD = counted_UDS[..., _N]
    total_D = sizes_UD.sum(0)
    merged_DS = np.empty(counted_UDS.shape[1:])
    merged_DS[:, _N] = total_D
    for column in (_MEAN_T, _MEAN_P):
        merged_DS[:, column] = (sizes_UD * counted_UDS[..., column]).sum(0) / total_D
    off_t_UD, off_p_UD = (counted_UDS[..., column] - merged_DS[:, column] for column in (_MEAN_T, _MEAN_P))
    for column, off_UD in (
        (_SQUARES_T, off_t_UD * off_t_UD),
        (_SQUARES_P, off_p_UD * off_p_UD),
        (_PRODUCTS, off_t_UD * off_p_UD),
    ):
        merged_DS[:, column] = (counted_UDS[..., column] + sizes_UD * off_UD).sum(0)
    merged_DS[:, _LOW], merged_DS[:, _HIGH] = counted_UDS[..., _LOW].min(0), counted_UDS[..., _HIGH].max(0)
    return merged_DS


def score_statistics(task: FrameLabelTask, merged_DS: Floats) -> dict[str, MetricValue]:
    """Return the score of each output by name, and their mean: CCC with population moments, or F1.

    The denominators of F1 are fixed: a class that is neither true nor predicted scores 0.
    """
    frames = count_valid(task, merged_DS)
    if not frames:
        nothing = MetricValue(value=None, undefined="no frame has a complete label")
        return dict.fromkeys((*task.classes, MEAN), nothing)
    if task.name == "va":
        scores = {name: _ccc_of_moments(row_S) for name, row_S in zip(task.classes, merged_DS, strict=True)}
        missing = next((score for score in scores.values() if score.value is None), None)
        values = [score.value for score in scores.values() if score.value is not None]
        return scores | {MEAN: missing or MetricValue(value=float(np.mean(values)))}
    if task.name == "au":
        hits_D, total_D = merged_DS[:, 0], 2 * merged_DS[:, 0] + merged_DS[:, 1] + merged_DS[:, 2]
    else:
        hits_D, total_D = np.diag(merged_DS), merged_DS.sum(0) + merged_DS.sum(1)
    f1_D = np.zeros(task.outputs)
    np.divide(2 * hits_D, total_D, out=f1_D, where=total_D > 0)
    scores = {name: MetricValue(value=float(value)) for name, value in zip(task.classes, f1_D, strict=True)}
    return scores | {MEAN: MetricValue(value=float(f1_D.mean()))}


def count_valid(task: FrameLabelTask, merged_DS: Floats) -> int:
    """Return the frames that statistics are of."""
    return int(merged_DS.sum()) if task.name == "expr" else int(merged_DS[0, _N if task.name == "va" else 3])


@dataclass(frozen=True, kw_only=True)
class ScoredOutput:
    """The score of an output, or of the mean, with its interval over people."""

    score: MetricValue
    interval: Interval


def score_with_intervals(task: FrameLabelTask, statistics_UDS: Floats, units: Sequence[str]) -> dict[str, ScoredOutput]:
    """Return each score of all videos together with a 95 % interval over units (see evaluation/intervals.py).

    Args:
        units: person, or else group, of each video; the videos of a unit are left out together.
    """
    merged_DS = merge_statistics(task, statistics_UDS)
    scores = score_statistics(task, merged_DS)
    rows_of: dict[str, list[int]] = {}
    for row, unit in enumerate(units):
        if count_valid(task, statistics_UDS[row]):
            rows_of.setdefault(unit, []).append(row)
    groups = [np.array(rows) for _, rows in sorted(rows_of.items())]
    margin = 0.5 / max(1, count_valid(task, merged_DS))
    return {
        name: ScoredOutput(score=score, interval=_interval(task, statistics_UDS, groups, name, margin))
        for name, score in scores.items()
    }


def _interval(
    task: FrameLabelTask, statistics_UDS: Floats, groups: Sequence[Rows], name: str, margin: float
) -> Interval:
    if len(groups) < MIN_UNITS:
        noun = "person or file" if len(groups) == 1 else "people or files"
        return Interval(reason=f"too few: {len(groups)} {noun}, {MIN_UNITS} are needed")

    def without(rows: Rows) -> float:
        rest = np.setdiff1d(np.arange(len(statistics_UDS)), rows)
        value = score_statistics(task, merge_statistics(task, statistics_UDS[rest]))[name].value
        return np.nan if value is None else value

    return jackknife_interval(without, groups, bottom=-1.0 if task.name == "va" else 0.0, margin=margin)


def list_values(scores: Mapping[str, MetricValue]) -> dict[str, float | None]:
    """Return the scores as JSON has them: null where undefined."""
    return {name: score.value for name, score in scores.items()}


def _moments(truth_VD: Floats, predicted_VD: Floats) -> Floats:
    rows, outputs = truth_VD.shape
    moments_DS = np.zeros((outputs, 8))
    if not rows:
        return moments_DS
    moments_DS[:, _N] = rows
    moments_DS[:, _MEAN_T], moments_DS[:, _MEAN_P] = truth_VD.mean(0), predicted_VD.mean(0)
    off_t_VD, off_p_VD = truth_VD - moments_DS[:, _MEAN_T], predicted_VD - moments_DS[:, _MEAN_P]
    moments_DS[:, _SQUARES_T], moments_DS[:, _SQUARES_P] = (off_t_VD**2).sum(0), (off_p_VD**2).sum(0)
    moments_DS[:, _PRODUCTS] = (off_t_VD * off_p_VD).sum(0)
    moments_DS[:, _LOW], moments_DS[:, _HIGH] = truth_VD.min(0), truth_VD.max(0)
    return moments_DS


def _ccc_of_moments(moments_S: Floats) -> MetricValue:
    if moments_S[_N] < 2:
        return MetricValue(value=None, undefined="fewer than two samples")
    if moments_S[_LOW] == moments_S[_HIGH]:
        return MetricValue(value=None, undefined=f"the target is constant ({moments_S[_LOW]:g})")
    distance = moments_S[_N] * (moments_S[_MEAN_T] - moments_S[_MEAN_P]) ** 2
    spread = moments_S[_SQUARES_T] + moments_S[_SQUARES_P] + distance
    return MetricValue(value=float(2 * moments_S[_PRODUCTS] / spread))
