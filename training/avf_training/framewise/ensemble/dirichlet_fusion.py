"""Weighted sums of models, with the weights of each output drawn from a Dirichlet distribution.

G matrices, M models (audio, video, statistical), D outputs, N frames.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avf_training.evaluation.metrics import Floats

MOST_ENTROPY_NATS = 1.8  # of a row of audio probabilities that still counts


@dataclass(frozen=True, kw_only=True)
class DirichletFusion:
    """The best matrix of many, with what it takes to draw it once more."""

    weights_MD: Floats  # columns sum to 1
    seed: int
    matrices: int  # that were drawn
    score: float  # of the best one, on the frames that it was chosen on


def draw_weights(models: int, outputs: int, *, matrices: int, seed: int) -> Floats:
    """Draw matrices of weights, (G, M, D), each column from a flat Dirichlet distribution over the models."""
    weights_GDM = np.random.RandomState(seed).dirichlet(np.ones(models), size=(matrices, outputs))
    return np.asarray(weights_GDM.transpose(0, 2, 1))


def fuse_models(predictions_MND: Floats, weights_MD: Floats) -> Floats:
    """Return the weighted sum of the models, (N, D)."""
    return np.asarray((predictions_MND * weights_MD[:, None]).sum(0))


def fit_dirichlet_fusion(
    predictions_MND: Floats, score: Callable[[Floats], float], *, matrices: int = 1000, seed: int = 0
) -> DirichletFusion:
    """Draw weights and keep those that score best on development frames; of equal ones the first, nan is worst."""
    models, _, outputs = predictions_MND.shape
    weights_GMD = draw_weights(models, outputs, matrices=matrices, seed=seed)
    scores = np.array([score(fuse_models(predictions_MND, weights_MD)) for weights_MD in weights_GMD], np.float64)
    best = int(np.where(np.isnan(scores), -np.inf, scores).argmax())
    return DirichletFusion(weights_MD=weights_GMD[best], seed=seed, matrices=matrices, score=float(scores[best]))


def zero_uncertain_rows(probabilities_NC: Floats, *, most_nats: float = MOST_ENTROPY_NATS) -> Floats:
    """Return the probabilities with rows of zeros where the entropy is above `most_nats`."""
    positive_NC = np.where(probabilities_NC > 0, probabilities_NC, 1.0)
    entropy_N = -(probabilities_NC * np.log(positive_NC)).sum(1)
    return np.where((entropy_N > most_nats)[:, None], 0.0, probabilities_NC)
