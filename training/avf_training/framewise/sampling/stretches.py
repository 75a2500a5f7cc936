"""Stretches of a video without a gap: windows and straight lines that would cross a gap end there.

Frames are counted from 1. N rows of a video, by rising frame number.
"""

import numpy as np

from avf_training.framewise.metrics import WholeNumbers

_GAP_STEPS = 1.5
"""Steps between two rows from which on at least one is missing; where invalid frames were dropped, steps vary less."""


def split_at_gaps(frame_numbers_N: WholeNumbers, usual_step: int) -> list[slice]:
    """Return the rows of each stretch, in order; steps of more than one and a half times the usual one are gaps."""
    return split_at_steps(frame_numbers_N, _GAP_STEPS * max(1, usual_step))


def split_at_steps(frame_numbers_N: WholeNumbers, longest_step: float) -> list[slice]:
    """Return the rows of each stretch, in order, between steps that are longer than this many frames."""
    rows = len(frame_numbers_N)
    if not rows:
        return []
    edges = [0, *(np.flatnonzero(np.diff(frame_numbers_N) > longest_step) + 1).tolist(), rows]
    return [slice(start, stop) for start, stop in zip(edges, edges[1:], strict=False)]


def nearest_rows(frame_numbers_N: WholeNumbers, asked_K: WholeNumbers) -> WholeNumbers:
    """Return the row whose frame is nearest to each number that is asked for, of two as near the earlier, (K,)."""
    after_K = np.clip(np.searchsorted(frame_numbers_N, asked_K), 0, len(frame_numbers_N) - 1)
    before_K = np.maximum(0, after_K - 1)
    is_before_K = asked_K - frame_numbers_N[before_K] <= frame_numbers_N[after_K] - asked_K
    return np.where(is_before_K, before_K, after_K).astype(np.int64)
