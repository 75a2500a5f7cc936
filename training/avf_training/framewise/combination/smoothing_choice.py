"""Smoothing of a member's likelihoods over time, as a plan and its protocol say, and the widths that are tried."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.combination.plan import EnsemblePlan
from avf_training.framewise.metrics import WholeNumbers
from avf_training.framewise.postprocessing.smoothing import (
    WINDOW_S,
    Edges,
    authors_hamming_size,
    fps_of_rounded_times,
    gaussian_reach,
    hamming_size,
    smooth_by_numbers,
    smooth_gaussian,
    smooth_hamming,
)
from avf_training.framewise.sampling.frame_rate import rounded_frame_times

_LEAST = 1e-12  # probability whose logarithm stands for that of 0


@dataclass(frozen=True, kw_only=True)
class WidthChoice:
    """The width of smoothing that scores best in development, and what each width scores."""

    unit: str  # sigma_frames or window_s
    width: float | None  # None: by the protocol, which takes half a second
    scores: dict[str, float | None]  # of each width that was tried; empty: the plan names one


def list_widths(plan: EnsemblePlan) -> tuple[str, tuple[float | None, ...]]:
    """Return the unit of widths, and those to choose from; a single one needs no choice."""
    smoothing = plan.smoothing
    if smoothing.kind == "gaussian":
        single = () if smoothing.sigma_frames is None else (smoothing.sigma_frames,)
        return "sigma_frames", single or tuple(sorted(set(smoothing.sigma_grid)))
    if smoothing.kind == "hamming":
        return "window_s", tuple(sorted(set(smoothing.window_grid_s))) or (smoothing.window_s,)
    return "sigma_frames", (0.0,)


def smooth_likelihoods(
    plan: EnsemblePlan,
    likelihoods_ND: Floats,
    frames_N: WholeNumbers,
    fps: float,
    width: float | None,
    *,
    is_development: bool,
) -> Floats:
    """Return the likelihoods of a member smoothed over the frames of a video; frames that are missing count nothing.

    The Hamming window smooths logarithms of the probabilities of expressions, which equals SUN's smoothing of logits.

    Args:
        plan: of the ensemble.
        likelihoods_ND: of the member.
        frames_N: their numbers, rising.
        fps: of the video.
        width: sigma in frames, or window in seconds; None: half a second by the protocol.
        is_development: of a development video, whose rate SUN's code takes from rounded times.
    """
    smoothing = plan.smoothing
    if smoothing.kind == "none" or not len(likelihoods_ND):
        return likelihoods_ND
    if smoothing.kind == "gaussian":
        smooth = partial(smooth_gaussian, sigma_frames=width or 0.0, edges=smoothing.edges or "reflect")
        return smooth_by_numbers(likelihoods_ND, frames_N, smooth, gaussian_reach(width or 0.0))
    by_authors = plan.protocol_options.smoothing_window == "half_fps_zero_edges"
    edges: Edges = "zero" if smoothing.edges == "zero" or (smoothing.edges is None and by_authors) else "renormalise"
    if width is None and by_authors:
        rate = fps
        if is_development and len(likelihoods_ND) > 1:
            rate = fps_of_rounded_times(rounded_frame_times(np.arange(1, len(likelihoods_ND) + 1), fps))
        size = authors_hamming_size(rate)
    else:
        size = hamming_size(fps, WINDOW_S if width is None else width)
    smooth_window = partial(smooth_hamming, size=size, edges=edges)
    if plan.task != "expr":
        return smooth_by_numbers(likelihoods_ND, frames_N, smooth_window, size)
    logs_ND = np.log(likelihoods_ND.clip(_LEAST, None))
    powers_ND = np.exp(smooth_by_numbers(logs_ND, frames_N, smooth_window, size))
    return np.asarray(powers_ND / powers_ND.sum(1, keepdims=True))
