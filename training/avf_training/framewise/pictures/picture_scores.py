"""Scores of labelled pictures by the challenge's metrics. N pictures, O outputs, K values of a label."""

import numpy as np
import numpy.typing as npt

from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.metrics import (
    MISSING_CLASS,
    score_action_units,
    score_expressions,
    score_valence_arousal,
)
from avf_training.framewise.pictures.labelled import Values


def score_pictures(
    task: FrameLabelTask, predicted_NO: npt.NDArray[np.float32], values_NK: Values
) -> dict[str, float | None]:
    """Return the scores of predictions by name, the task's metric first; None where one is undefined.

    Action units that no picture is labelled with are left out, of the mean too: not every corpus has all twelve.
    """
    if task.name == "va":
        dimensions = score_valence_arousal(values_NK.astype(np.float64), predicted_NO.clip(-1, 1).astype(np.float64))
        each = {"CCC valence": dimensions.valence.value, "CCC arousal": dimensions.arousal.value}
        return {task.metric: dimensions.mean.value, **each}
    labels_NK = np.where(np.isfinite(values_NK), values_NK, MISSING_CLASS).astype(np.int64)
    if task.name == "expr":
        score, names = score_expressions(labels_NK[:, 0], predicted_NO.argmax(1)), task.classes
    else:
        labelled_A = np.flatnonzero(np.isfinite(values_NK).any(0))
        names = tuple(task.classes[unit] for unit in labelled_A)
        with np.errstate(over="ignore"):
            probabilities_NA = 1 / (1 + np.exp(-predicted_NO[:, labelled_A].astype(np.float64)))
        score = score_action_units(labels_NK[:, labelled_A], probabilities_NA)
    return {
        task.metric: score.mean.value,
        **{f"F1 {name}": value for name, value in zip(names, score.each, strict=True)},
    }
