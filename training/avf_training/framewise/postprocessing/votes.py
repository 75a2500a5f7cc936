"""One answer of several models: votes over labels, means over values. M models, N frames, C classes, A action units."""

from typing import Literal

import numpy as np

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.metrics import WholeNumbers

LabelTies = Literal["mean_probability", "lowest", "first_model"]
UnitTies = Literal["mean_probability", "off", "on"]


def vote_expressions(
    labels_MN: WholeNumbers, *, probabilities_MNC: Floats | None = None, ties: LabelTies = "mean_probability"
) -> WholeNumbers:
    """Return the label with most votes in each frame, (N,).

    Args:
        probabilities_MNC: of the models, which `mean_probability` needs.
        ties: decided by the mean probability and then the lowest class; by the lowest class; or by the tied label that
            comes first in the order of models, as Python's Counter does.

    Raises ValueError where ties need probabilities that are not given.
    """
    classes = int(labels_MN.max(initial=0)) + 1 if probabilities_MNC is None else probabilities_MNC.shape[2]
    votes_NC = (labels_MN[..., None] == np.arange(classes)).sum(0)
    tied_NC = votes_NC == votes_NC.max(1, keepdims=True)
    if ties == "lowest":
        preference_NC = np.zeros(votes_NC.shape)
    elif ties == "first_model":
        # The first model that votes for a class: argmax of a boolean column finds it.
        preference_NC = -(labels_MN[..., None] == np.arange(classes)).argmax(0).astype(np.float64)
    elif probabilities_MNC is None:
        raise ValueError("ties by mean probability need the models' probabilities")
    else:
        preference_NC = probabilities_MNC.mean(0)
    return np.asarray(np.where(tied_NC, preference_NC, -np.inf).argmax(1).astype(np.int64))


def vote_action_units(
    labels_MNA: WholeNumbers, *, probabilities_MNA: Floats | None = None, ties: UnitTies = "mean_probability"
) -> WholeNumbers:
    """Return 1 where more than half of the models say so, (N, A).

    Args:
        ties: decided by a mean probability of 0.5 and more, or always off or on.

    Raises ValueError where ties need probabilities that are not given.
    """
    doubled_NA = 2 * labels_MNA.sum(0)
    models = len(labels_MNA)
    on_NA = doubled_NA > models
    if ties == "on":
        on_NA |= doubled_NA == models
    elif ties == "mean_probability":
        if probabilities_MNA is None:
            raise ValueError("ties by mean probability need the models' probabilities")
        on_NA |= (doubled_NA == models) & (probabilities_MNA.mean(0) >= 0.5)
    return np.asarray(on_NA, np.int64)


def mean_values(values_MND: Floats) -> Floats:
    """Return the mean of the models' values, limited to [-1, 1], (N, D)."""
    return np.asarray(values_MND.mean(0).clip(-1, 1))
