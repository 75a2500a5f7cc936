"""The Fréchet distance of two normal distributions, and the kernel distance (KID) of two sets of features.

Shapes: N, M samples, C features.
"""

import numpy as np
from avf_shards.errors import UserError

from avf_training.evaluation.metrics import Floats
from avf_training.frechet.moments import FeatureMoments

_ROWS = 1024  # of a block of kernel values: 8 MB a thousand columns


def frechet_distance(first: FeatureMoments, second: FeatureMoments, ddof: int = 1) -> float:
    """Return |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2).

    The trace of the root is the sum of the square roots of the eigenvalues of S1^1/2 S2 S1^1/2, which is symmetric: a
    root of the product itself fails where there are fewer samples than features.

    Args:
        ddof: of the covariances; 1 as in clean-fid and common_metrics, 0 as in StyleGAN-V.
    """
    if len(first.mean_C) != len(second.mean_C):
        raise ValueError(f"features of {len(first.mean_C)} and of {len(second.mean_C)} values cannot be compared")
    covariance_CC, other_CC = first.covariance(ddof), second.covariance(ddof)
    values_C, vectors_CC = np.linalg.eigh(covariance_CC)
    root_CC = (vectors_CC * np.sqrt(np.clip(values_C, 0, None))) @ vectors_CC.T
    product_C = np.linalg.eigvalsh(root_CC @ other_CC @ root_CC)
    trace = np.trace(covariance_CC) + np.trace(other_CC) - 2 * np.sqrt(np.clip(product_C, 0, None)).sum()
    return float(((first.mean_C - second.mean_C) ** 2).sum() + trace)


def kernel_distance(first_NC: Floats, second_MC: Floats) -> float:
    """Return the unbiased squared maximum mean discrepancy for the kernel (x y / C + 1)^3, over all samples.

    It may be negative. Raises UserError for fewer than two samples.
    """
    if min(len(first_NC), len(second_MC)) < 2:
        raise UserError(f"{min(len(first_NC), len(second_MC))} sample has no kernel distance; at least two are needed")
    within = sum(_mean_kernel(each, each, without_diagonal=True) for each in (first_NC, second_MC))
    return within - 2 * _mean_kernel(first_NC, second_MC, without_diagonal=False)


def _mean_kernel(first_NC: Floats, second_MC: Floats, *, without_diagonal: bool) -> float:
    total, features = 0.0, first_NC.shape[1]
    for start in range(0, len(first_NC), _ROWS):
        rows = first_NC[start : start + _ROWS].astype(np.float64)
        total += float(((rows @ second_MC.T.astype(np.float64) / features + 1) ** 3).sum())
    if not without_diagonal:
        return total / (len(first_NC) * len(second_MC))
    diagonal = float((((first_NC.astype(np.float64) ** 2).sum(1) / features + 1) ** 3).sum())
    return (total - diagonal) / (len(first_NC) * (len(first_NC) - 1))
