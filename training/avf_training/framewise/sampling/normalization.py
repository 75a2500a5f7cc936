"""Normalizations of features: none, min-max or standard, fitted on the training set or on each video."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from avf_training.evaluation.metrics import Floats

ScaleKind = Literal["none", "min_max", "standard"]


@dataclass(frozen=True, kw_only=True)
class FeatureScale:
    """A linear scale of each feature: (value - offset) / width."""

    offset_D: Floats
    width_D: Floats  # 1 for a constant feature, which becomes 0

    @property
    def is_identity(self) -> bool:
        """Return whether features stay as they are."""
        return not self.offset_D.any() and bool((self.width_D == 1).all())


def fit_scale(features_ND: Floats, kind: ScaleKind) -> FeatureScale:
    """Return the scale that maps the features to [0, 1] (`min_max`) or to mean 0 and population deviation 1."""
    return fit_scale_of_parts(lambda: [features_ND], features_ND.shape[1], kind)


def fit_scale_of_parts(list_parts: Callable[[], Iterable[Floats]], width: int, kind: ScaleKind) -> FeatureScale:
    """Return the scale over several matrices of features, one in memory at a time.

    Args:
        list_parts: gives the matrices, (N, D), each time that it is called.
        width: D.
        kind: of scale.
    """
    identity = FeatureScale(offset_D=np.zeros(width), width_D=np.ones(width))
    if kind == "none":
        return identity
    rows, sum_D = 0, np.zeros(width)
    low_D, high_D = np.full(width, np.inf), np.full(width, -np.inf)
    for part_ND in list_parts():
        if len(part_ND):
            rows += len(part_ND)
            sum_D += part_ND.sum(0)
            low_D, high_D = np.minimum(low_D, part_ND.min(0)), np.maximum(high_D, part_ND.max(0))
    if not rows:
        return identity
    offset_D, width_D = low_D, high_D - low_D
    constant_D = width_D == 0
    if kind == "standard":
        offset_D = sum_D / rows
        squares_D = np.zeros(width)
        for part_ND in list_parts():
            squares_D += np.square(part_ND - offset_D).sum(0)
        width_D = np.sqrt(squares_D / rows)
    # The mean of equal values may differ from them in the last digit.
    offset_D = np.where(constant_D, low_D, offset_D)
    return FeatureScale(offset_D=offset_D, width_D=np.where(constant_D, 1.0, width_D))


def apply_scale(features_ND: Floats, scale: FeatureScale) -> Floats:
    """Return the scaled features. A per-video normalization is the scale of the video's own features."""
    return np.asarray((features_ND - scale.offset_D) / scale.width_D)
