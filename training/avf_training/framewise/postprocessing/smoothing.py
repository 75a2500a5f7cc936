"""Smoothing of predictions over time, and the choice of its width on validation videos. N frames, D outputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.metrics import WholeNumbers
from avf_training.framewise.rounding import round_half_away

Edges = Literal["renormalise", "zero"]
GaussianEdges = Literal["reflect", "renormalise", "zero"]

SIGMA_GRID = (0.0, 1.0, 2.0, 5.0, 10.0, 15.0, 25.0)
"""Widths of the Gaussian that are tried, in frames."""

WINDOW_S = 0.5  # of the Hamming window
TRUNCATE_SIGMAS = 4.0


def hamming_size(fps: float, window_s: float = WINDOW_S) -> int:
    """Return the frames of a window, odd, so that smoothing moves nothing: 15 of half a second at 30 fps, 3 at 6."""
    frames = max(1, round_half_away(window_s * fps))
    return frames if frames % 2 else frames + 1


def authors_hamming_size(fps: float) -> int:
    """Return the frames of SUN's window on test videos: 15 at 30 fps, 14 at 29.97, 11 at 23.976."""
    return max(1, int(fps // 2))


def fps_of_rounded_times(times_s_N: Floats) -> float:
    """Return the frame rate as SUN takes it from rounded times on development videos: 33.3 for 30 fps."""
    return float(1 / np.diff(times_s_N).min())


def hamming_kernel(size: int) -> Floats:
    """Return a Hamming window of sum 1."""
    kernel = np.hamming(size)
    return np.asarray(kernel / kernel.sum())


def smooth_hamming(values_ND: Floats, size: int, *, edges: Edges = "renormalise") -> Floats:
    """Return the values smoothed by a Hamming window of `size` frames.

    Args:
        edges: divide by the part of the window that lies inside, or take zeros outside, which pulls both ends towards 0
            as in SUN's code.
    """
    return _convolve(values_ND, hamming_kernel(size), edges)


def smooth_gaussian(values_ND: Floats, sigma_frames: float, *, edges: GaussianEdges = "reflect") -> Floats:
    """Return the values smoothed by a Gaussian that is cut at four sigmas; a sigma of 0 changes nothing.

    Args:
        edges: `reflect` repeats the ends mirrored, as scipy does by default.
    """
    if not sigma_frames or not len(values_ND):
        return values_ND.astype(np.float64)
    if edges == "reflect":
        from scipy.ndimage import gaussian_filter1d  # half a second to import

        return np.asarray(gaussian_filter1d(values_ND.astype(np.float64), sigma_frames, axis=0, mode="reflect"))
    radius = int(TRUNCATE_SIGMAS * sigma_frames + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_frames) ** 2)
    return _convolve(values_ND, kernel / kernel.sum(), edges)


def smooth_by_numbers(
    values_ND: Floats, frame_numbers_N: WholeNumbers, smooth: Callable[[Floats], Floats], reach_frames: int
) -> Floats:
    """Return values smoothed over the numbers of their frames: a frame that is missing counts nothing.

    Args:
        frame_numbers_N: rising, of the values.
        smooth: smooths values of frames that follow each other; what it does is linear.
        reach_frames: from which on frames do not change each other.
    """
    steps = np.minimum(np.diff(frame_numbers_N), max(1, reach_frames))  # a longer gap is as good as this one
    if (steps == 1).all():
        return smooth(values_ND)
    rows_N = np.concatenate([[0], np.cumsum(steps)])
    # Where no frame is missing, a mass of 1 is smoothed to what smoothing at the ends makes of it.
    filled_MD = np.zeros((rows_N[-1] + 1, values_ND.shape[1]))
    there_M1 = np.zeros((len(filled_MD), 1))
    filled_MD[rows_N], there_M1[rows_N] = values_ND, 1
    mass_N1 = smooth(there_M1)[rows_N] / smooth(np.ones_like(there_M1))[rows_N]
    return np.asarray(smooth(filled_MD)[rows_N] / mass_N1)


def gaussian_reach(sigma_frames: float) -> int:
    """Return from how many frames on a Gaussian that is cut at four sigmas has nothing."""
    return int(TRUNCATE_SIGMAS * sigma_frames + 0.5) + 1


def _convolve(values_ND: Floats, kernel: Floats, edges: Edges) -> Floats:
    rows = len(values_ND)
    if not rows:
        return values_ND.astype(np.float64)
    # numpy's `same` has the longer operand's length; a window longer than the video needs the middle of `full`.
    start = (len(kernel) - 1) // 2
    smoothed_ND = np.stack([np.convolve(column, kernel)[start : start + rows] for column in values_ND.T], 1)
    if edges == "renormalise":
        smoothed_ND /= np.convolve(np.ones(rows), kernel)[start : start + rows, None]
    return smoothed_ND


@dataclass(frozen=True, kw_only=True)
class SigmaChoice:
    """The width that scores best on validation videos, and what each width scored."""

    sigma_frames: float
    scores: dict[float, float]  # by sigma


def choose_sigma(
    videos: Sequence[Floats], score: Callable[[list[Floats]], float], *, grid: Sequence[float] = SIGMA_GRID
) -> SigmaChoice:
    """Smooth the predictions of each video with each width; of equal scores the narrowest width wins.

    Args:
        videos: likelihoods or values of each validation video, (N, D).
        score: of all smoothed videos together; higher is better, nan is worst.
    """
    scores = {sigma: float(score([smooth_gaussian(video, sigma) for video in videos])) for sigma in grid}
    best = max(sorted(scores), key=lambda sigma: -np.inf if np.isnan(scores[sigma]) else scores[sigma])
    return SigmaChoice(sigma_frames=best, scores=scores)
