"""The challenge's scores of predictions, by the names that reports and learning curves use. N frames, O outputs."""

from typing import Any

import numpy as np

from avf_training.evaluation.metrics import Floats, MetricValue
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.metrics import (
    MISSING_CLASS,
    score_action_units,
    score_expressions,
    score_valence_arousal,
)
from avf_training.framewise.protocol import ProtocolOptions

PARTS = {"valence": "CCC valence", "arousal": "CCC arousal"}
"""What may select an epoch apart -> its score."""


def score_frames(
    task: FrameLabelTask, truth_NK: Floats, predicted_NO: Floats, options: ProtocolOptions | None = None
) -> dict[str, float]:
    """Return the scores of all frames of a set: that of the task first; nan where one is undefined.

    Args:
        task: of the labels.
        truth_NK: labels, nan where not valid.
        predicted_NO: values, or logits.
        options: of the protocol, for development scores of dynamic models; None: the challenge's.
    """
    if task.name == "va":
        swapped = options is not None and options.dynamic_development == "swapped_unnormalized"
        score = score_valence_arousal(
            truth_NK, predicted_NO, columns="arousal_valence" if swapped else "valence_arousal"
        )
        return {
            task.metric: _number(score.mean),
            PARTS["valence"]: _number(score.valence),
            PARTS["arousal"]: _number(score.arousal),
        }
    labels_NK: Any = np.where(np.isnan(truth_NK), MISSING_CLASS, truth_NK).astype(np.int64)
    if task.name == "expr":
        return {task.metric: _number(score_expressions(labels_NK[:, 0], predicted_NO.argmax(1)).mean)}
    with np.errstate(over="ignore"):
        probabilities_NO = 1 / (1 + np.exp(-predicted_NO))
    return {task.metric: _number(score_action_units(labels_NK, probabilities_NO).mean)}


def _number(value: MetricValue) -> float:
    return float("nan") if value.value is None else float(value.value)
