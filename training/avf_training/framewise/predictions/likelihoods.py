"""What a prediction's vector says: values, probabilities and answers. N frames, D outputs of a task."""

import numpy as np

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.metrics import AU_THRESHOLD
from avf_training.framewise.tracks.feature_track import Vectors

_LEAST = 1e-12  # probability that stands for 0: its logarithm is finite


def to_likelihoods(task: FrameLabelTask, vectors_ND: Vectors | Floats) -> Floats:
    """Return valence and arousal limited to [-1, 1], or the probabilities of expressions or action units, (N, D)."""
    values_ND = vectors_ND.astype(np.float64)
    if task.name == "va":
        return np.asarray(values_ND.clip(-1, 1))
    if task.name == "au":
        return np.asarray(0.5 * (1 + np.tanh(0.5 * values_ND)))  # the sigmoid, without an overflow
    powers_ND = np.exp(values_ND - values_ND.max(1, keepdims=True))
    return np.asarray(powers_ND / powers_ND.sum(1, keepdims=True))


def to_vectors(task: FrameLabelTask, likelihoods_ND: Floats) -> Vectors:
    """Return the vectors whose likelihoods these are: the inverse of `to_likelihoods`, in float32.

    Shares of expressions need no sum of 1; a probability of 0 becomes a very small one.
    """
    if task.name == "va":
        return np.asarray(likelihoods_ND.clip(-1, 1), np.float32)
    if task.name == "au":
        inside_ND = likelihoods_ND.clip(_LEAST, 1 - _LEAST)
        return np.asarray(np.log(inside_ND) - np.log1p(-inside_ND), np.float32)
    return np.asarray(np.log(likelihoods_ND.clip(_LEAST, None)), np.float32)


def limit_outputs(task: FrameLabelTask, outputs_ND: Floats) -> Vectors:
    """Return what a model gives as the vectors of its predictions: valence and arousal limited to [-1, 1], in float32.

    Validation scores these vectors, and a prediction track holds them, so that both are of the same numbers.
    """
    return np.asarray(outputs_ND.clip(-1, 1) if task.name == "va" else outputs_ND, np.float32)


def to_answers(task: FrameLabelTask, likelihoods_ND: Floats) -> Floats:
    """Return what a submission says: both values, (N, 2); the class, (N, 1); or 0 and 1 of each unit, (N, 12)."""
    if task.name == "va":
        return likelihoods_ND
    if task.name == "au":
        return np.asarray(likelihoods_ND >= AU_THRESHOLD, np.float64)
    return np.asarray(likelihoods_ND.argmax(1)[:, None], np.float64)
