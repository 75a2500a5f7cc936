"""The kernel extreme learning machine: kernel ridge regression, exact up to a size and by Nystroem's method above it.

beta = (I / C + K)^-1 T and y = K(x, X) beta. N training rows, Z rows to predict, D features, T targets, L landmarks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from avf_shards.errors import UserError

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.metrics import WholeNumbers

Kernel = Literal["rbf", "linear"]
Real = npt.NDArray[np.floating]

EXACT_ROWS = 30_000
"""Most training rows with a kernel matrix of their own: 3.6 GB in float32."""

LANDMARKS = 4_000
"""Rows that stand for all others in Nystroem's method."""

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3)
"""Values of C that are tried."""

_CHUNK_ROWS = 4096  # rows of a kernel matrix that exist at once in prediction


@dataclass(frozen=True, kw_only=True)
class ElmSettings:
    """How a machine is fitted. The paper gives none of these values."""

    penalty: float = 1.0  # C; large values follow the targets more closely
    kernel: Kernel = "rbf"
    gamma: float | None = None  # of exp(-gamma |x - y|^2); 1 / D where None
    exact_rows: int = EXACT_ROWS  # most training rows for an exact fit; a linear kernel stays exact above it too
    landmarks: int = LANDMARKS  # above it


@dataclass(frozen=True, kw_only=True)
class KernelElm:
    """A fitted machine: rows with their coefficients."""

    kernel: Kernel
    gamma: float  # of exp(-gamma |x - y|^2)
    rows_LD: Real  # all training rows, landmarks, or the axes of a linear kernel above the limit
    beta_LT: Real
    exact: bool  # False by Nystroem's method


def fit_kernel_elm(
    features_ND: Real,
    targets_NT: Real,
    settings: ElmSettings,
    *,
    row_weights_N: Floats | None = None,
) -> KernelElm:
    """Fit the machine in the precision of the features, float32 or float64.

    Args:
        row_weights_N: of a weighted machine, 1 / frames of the class.

    Raises UserError for rows with nan, or a C so large that the matrix is singular in this precision.
    """
    if not (np.isfinite(features_ND).all() and np.isfinite(targets_NT).all()):
        raise UserError("features or targets of the kernel ELM hold nan or infinity; leave such windows out")
    kernel, penalty = settings.kernel, settings.penalty
    gamma = 1 / features_ND.shape[1] if settings.gamma is None else settings.gamma
    weights_N = np.ones(len(features_ND)) if row_weights_N is None else row_weights_N
    if len(features_ND) <= settings.exact_rows:
        matrix = _kernel_matrix(features_ND, features_ND, kernel, gamma)
        matrix.flat[:: len(matrix) + 1] += (1 / (penalty * weights_N)).astype(matrix.dtype)
        return KernelElm(
            kernel=kernel, gamma=gamma, rows_LD=features_ND, beta_LT=_solve(matrix, targets_NT, penalty), exact=True
        )
    if kernel == "linear":
        axes = np.eye(features_ND.shape[1], dtype=features_ND.dtype)
        beta = _ridge(features_ND, targets_NT, weights_N, np.eye(len(axes)), penalty)
        return KernelElm(kernel=kernel, gamma=gamma, rows_LD=axes, beta_LT=beta, exact=True)
    chosen = np.random.RandomState(0).choice(len(features_ND), min(settings.landmarks, len(features_ND)), replace=False)
    landmarks_LD = features_ND[np.sort(chosen)]
    between_LL = _kernel_matrix(landmarks_LD, landmarks_LD, kernel, gamma).astype(np.float64)
    across_NL = _kernel_matrix(features_ND, landmarks_LD, kernel, gamma)
    beta = _ridge(across_NL, targets_NT, weights_N, between_LL, penalty)
    return KernelElm(kernel=kernel, gamma=gamma, rows_LD=landmarks_LD, beta_LT=beta, exact=False)


def predict_kernel_elm(machine: KernelElm, features_ZD: Real) -> Real:
    """Return the predictions, (Z, T)."""
    return np.concatenate(
        [
            _kernel_matrix(features_ZD[start : start + _CHUNK_ROWS], machine.rows_LD, machine.kernel, machine.gamma)
            @ machine.beta_LT
            for start in range(0, max(1, len(features_ZD)), _CHUNK_ROWS)
        ]
    )


def one_hot(labels_N: WholeNumbers, classes: int) -> Floats:
    """Return targets of classes: 1 for the label and 0 for the others, (N, C)."""
    return np.asarray(np.eye(classes)[labels_N])


def inverse_class_sizes(labels_N: WholeNumbers) -> Floats:
    """Return the weight of each row in a weighted machine: 1 / rows of its class, (N,)."""
    return np.asarray(1 / np.bincount(labels_N)[labels_N])


def choose_penalty(
    fit: Callable[[float], KernelElm], score: Callable[[KernelElm], float], *, grid: Sequence[float] = PENALTIES
) -> tuple[float, dict[float, float]]:
    """Return the C that scores best on development windows, of equal ones the smallest, and all scores."""
    scores = {penalty: float(score(fit(penalty))) for penalty in sorted(grid)}
    best = max(scores, key=lambda penalty: -np.inf if np.isnan(scores[penalty]) else scores[penalty])
    return best, scores


def _kernel_matrix(a_ND: Real, b_LD: Real, kernel: Kernel, gamma: float) -> Real:
    product = a_ND @ b_LD.T
    if kernel == "linear":
        return product
    # |a - b|^2 by one matrix product and in place: the matrix is the largest thing here.
    product *= -2
    product += np.square(a_ND).sum(1)[:, None]
    product += np.square(b_LD).sum(1)
    np.maximum(product, 0, out=product)
    product *= -gamma
    return np.asarray(np.exp(product, out=product))


def _solve(matrix: Real, targets_NT: Real, penalty: float) -> Real:
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    try:
        factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        raise UserError(
            f"the kernel matrix with C = {penalty:g} is singular in {matrix.dtype}; take a smaller C or float64"
        ) from None
    return np.asarray(cho_solve(factor, targets_NT.astype(matrix.dtype), check_finite=False))


def _ridge(basis_NL: Real, targets_NT: Real, weights_N: Floats, between_LL: Floats, penalty: float) -> Real:
    """Return beta of min |W (basis beta - T)|^2 + beta' between beta / C, in float64."""
    from scipy.linalg import solve

    basis = basis_NL.astype(np.float64)
    weighted = basis * weights_N[:, None]
    # A trace-sized sliver on the diagonal: landmarks that are nearly alike make the matrix singular.
    normal = weighted.T @ basis + between_LL / penalty
    normal.flat[:: len(normal) + 1] += 1e-12 * np.trace(normal) / len(normal)
    beta = solve(normal, weighted.T @ targets_NT, assume_a="pos", check_finite=False)
    return np.asarray(beta.astype(basis_NL.dtype))
