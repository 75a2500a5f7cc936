"""The challenge's scores of predictions, by the names that reports and learning curves use. N frames, O outputs.

They are computed as `report-frames` computes them: from what a prediction track holds.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from avf_shards.text import count_noun

from avf_training.evaluation.metrics import Floats, MetricValue
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.predictions.frame_statistics import MEAN, count_frames, score_statistics
from avf_training.framewise.predictions.likelihoods import limit_outputs, to_likelihoods
from avf_training.framewise.protocol import ProtocolOptions

PARTS = {"valence": "CCC valence", "arousal": "CCC arousal"}
"""What may select an epoch apart -> its score."""


NONFINITE = "predictions are nan or infinite"
"""How a sentence begins that says why frames have no score."""


def score_frames(
    task: FrameLabelTask,
    truth_NK: npt.NDArray[np.floating],
    predicted_NO: Floats,
    options: ProtocolOptions | None = None,
) -> dict[str, float]:
    """Return the scores of all frames of a set: that of the task first; nan where one is undefined.

    Args:
        task: of the labels.
        truth_NK: labels, nan where not valid.
        predicted_NO: values, or logits; where one is nan or infinite, no score is defined.
        options: of the protocol, for development scores of dynamic models; None: the challenge's.
    """
    scores = _measure(task, truth_NK, predicted_NO, options)
    named = {task.metric: scores[MEAN]}
    if task.name == "va":
        named |= {metric: scores[name] for name, metric in PARTS.items()}
    return {name: float("nan") if score.value is None else float(score.value) for name, score in named.items()}


def explain_undefined(task: FrameLabelTask, truth_NK: npt.NDArray[np.floating], predicted_NO: Floats) -> str:
    """Return why frames have no score, in words; the empty text where they have one."""
    if diverged := describe_nonfinite(predicted_NO):
        return diverged
    scores = _measure(task, truth_NK, predicted_NO, None)
    reasons = [
        f"{name}: {score.undefined}" if name in task.classes else score.undefined
        for name, score in scores.items()
        if score.value is None
    ]
    return reasons[0] if reasons else ""


def describe_nonfinite(predicted_NO: Floats) -> str:
    """Return how many frames have a prediction that is no finite number; the empty text where none has."""
    wrong = int((~np.isfinite(predicted_NO).all(1)).sum())
    if not wrong:
        return ""
    return f"{NONFINITE} in {wrong:,} of {count_noun(len(predicted_NO), 'frame')}"


def _measure(
    task: FrameLabelTask,
    truth_NK: npt.NDArray[np.floating],
    predicted_NO: Floats,
    options: ProtocolOptions | None,
) -> Mapping[str, MetricValue]:
    if diverged := describe_nonfinite(predicted_NO):
        return dict.fromkeys((*task.classes, MEAN), MetricValue(value=None, undefined=diverged))
    if task.name == "va" and options is not None and options.dynamic_development == "swapped_unnormalized":
        predicted_NO = predicted_NO[:, ::-1]
    likelihoods_NO = to_likelihoods(task, limit_outputs(task, predicted_NO))
    return score_statistics(task, count_frames(task, truth_NK.astype(np.float32), likelihoods_NO))
