"""Normalizations of features: none, min-max or standard, fitted on the training set or on each video."""

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


def fit_scale(features_ND: Floats, kind: ScaleKind) -> FeatureScale:
    """Return the scale that maps the features to [0, 1] (`min_max`) or to mean 0 and population deviation 1."""
    width = features_ND.shape[1]
    if kind == "none" or not len(features_ND):
        return FeatureScale(offset_D=np.zeros(width), width_D=np.ones(width))
    offset_D = features_ND.min(0) if kind == "min_max" else features_ND.mean(0)
    width_D = np.ptp(features_ND, 0) if kind == "min_max" else features_ND.std(0)
    constant_D = np.ptp(features_ND, 0) == 0
    # The mean of equal values may differ from them in the last digit.
    offset_D = np.where(constant_D, features_ND[0], offset_D)
    return FeatureScale(offset_D=offset_D, width_D=np.where(constant_D, 1.0, width_D))


def apply_scale(features_ND: Floats, scale: FeatureScale) -> Floats:
    """Return the scaled features. A per-video normalization is the scale of the video's own features."""
    return np.asarray((features_ND - scale.offset_D) / scale.width_D)
