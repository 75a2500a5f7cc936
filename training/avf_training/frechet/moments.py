"""Mean and covariance of features in float64, batch by batch, and merged over parts. Shapes: N samples, C features."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from avf_shards.errors import FaultError, UserError

from avf_training.evaluation.metrics import Floats


@dataclass(frozen=True, kw_only=True)
class FeatureMoments:
    """Count, mean and scatter of samples. Parts that are merged give those of all samples, to rounding."""

    count: int  # N
    mean_C: Floats
    scatter_CC: Floats  # sum over the samples of (x - mean) (x - mean)^T

    @classmethod
    def of(cls, samples_NC: npt.ArrayLike) -> "FeatureMoments":
        """Return the moments of samples. Raises FaultError for a value that is not finite."""
        values_NC = np.asarray(samples_NC, np.float64)
        if values_NC.ndim != 2 or not len(values_NC):
            raise ValueError(
                f"features have the shape {values_NC.shape}, and (N, C) with at least one sample is needed"
            )
        if not np.isfinite(values_NC).all():
            raise FaultError("a feature is not finite")
        mean_C = values_NC.mean(0)
        centred_NC = values_NC - mean_C
        return cls(count=len(values_NC), mean_C=mean_C, scatter_CC=centred_NC.T @ centred_NC)

    def __add__(self, other: "FeatureMoments") -> "FeatureMoments":
        """Return the moments of the samples of both parts (Chan et al. 1979)."""
        count = self.count + other.count
        shift_C = other.mean_C - self.mean_C
        scatter_CC = self.scatter_CC + other.scatter_CC
        scatter_CC += np.outer(shift_C, shift_C) * (self.count * other.count / count)
        return FeatureMoments(count=count, mean_C=self.mean_C + shift_C * (other.count / count), scatter_CC=scatter_CC)

    def covariance(self, ddof: int) -> Floats:
        """Return the covariance (C, C): the scatter over N - ddof. Raises UserError for too few samples.

        Args:
            ddof: 1: the unbiased one; 0: that of the population.
        """
        if self.count <= ddof:
            raise UserError(f"{self.count} sample has no covariance; at least two are needed")
        return self.scatter_CC / (self.count - ddof)
