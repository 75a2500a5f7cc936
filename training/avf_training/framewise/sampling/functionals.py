"""Functionals of features over windows of two seconds, for the kernel ELM. N frames, D features, K windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.metrics import MISSING_CLASS, MISSING_VALENCE_AROUSAL, WholeNumbers
from avf_training.framewise.rounding import round_half_away

Functional = Literal["mean", "min", "max"]


@dataclass(frozen=True, kw_only=True)
class FunctionalWindows:
    """Functionals of windows that do not overlap; the last may be shorter, and one in which frames are missing."""

    values_KF: Floats  # the functionals behind each other, D each
    middle_s_K: Floats  # from the first frame to the middle of each window's rows, where its prediction stands
    starts_K: WholeNumbers  # first row of each window


def window_functionals(
    features_ND: Floats,
    fps: float,
    *,
    functionals: Sequence[Functional] = ("mean", "min", "max"),
    window_s: float = 2.0,
    frame_numbers_N: WholeNumbers | None = None,
) -> FunctionalWindows:
    """Return the functionals of each window of `window_s` seconds that has a row.

    Args:
        frame_numbers_N: rising, of the rows; None: no frame is missing.
    """
    frames = functional_frames(fps, window_s)
    offsets_N = np.arange(len(features_ND)) if frame_numbers_N is None else frame_numbers_N - frame_numbers_N[:1]
    _, starts = np.unique(offsets_N // frames, return_index=True)
    stops = np.append(starts[1:], len(features_ND))[: len(starts)]
    values = [
        np.concatenate([_functional(features_ND[start:stop], name) for name in functionals])
        for start, stop in zip(starts, stops, strict=True)
    ]
    width = features_ND.shape[1] * len(functionals)
    return FunctionalWindows(
        values_KF=np.stack(values) if values else np.zeros((0, width)),
        middle_s_K=(offsets_N[starts] + offsets_N[stops - 1] + 1) / 2 / fps,
        starts_K=starts.astype(np.int64),
    )


def functional_frames(fps: float, window_s: float) -> int:
    """Return the frames of a window."""
    return max(1, round_half_away(window_s * fps))


def _functional(window_ND: Floats, name: Functional) -> Floats:
    if name == "mean":
        return np.asarray(window_ND.mean(0))
    return np.asarray(window_ND.min(0) if name == "min" else window_ND.max(0))


def mean_label_of_windows(labels_N2: Floats, starts_K: WholeNumbers) -> Floats:
    """Return the mean valence and arousal of the valid frames of each window, (K, 2); nan where none is valid."""
    valid_N = (labels_N2 != MISSING_VALENCE_AROUSAL).all(1)
    means_K2 = np.full((len(starts_K), labels_N2.shape[1]), np.nan)
    for window, rows in enumerate(np.split(np.arange(len(labels_N2)), starts_K[1:])):
        if valid_N[rows].any():
            means_K2[window] = labels_N2[rows][valid_N[rows]].mean(0)
    return means_K2


def frequent_label_of_windows(labels_N: WholeNumbers, starts_K: WholeNumbers) -> WholeNumbers:
    """Return the most frequent valid expression of each window, of equals the lowest; -1 where none is valid."""
    labels_K = np.full(len(starts_K), MISSING_CLASS, np.int64)
    for window, labels in enumerate(np.split(labels_N, starts_K[1:])):
        valid = labels[labels != MISSING_CLASS]
        if len(valid):
            labels_K[window] = np.bincount(valid).argmax()
    return labels_K
