"""The frames of a clip that a model sees: index sets of the authors, for clips of any length (25 fps)."""

from collections.abc import Sequence

import numpy as np
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_training.data.window_length import STRIDE


def window_frames(start: int, frames: int, total: int) -> list[int]:
    """Return the pre-training indices: `frames` frames at stride 4 from `start` on.

    Past the end of the clip the last index on the stride is repeated, as in the authors' code: a clip of 10 frames
    gives 0, 4, 8, 8, 8, ...
    """
    last = start + (total - 1 - start) // STRIDE * STRIDE
    return [min(start + STRIDE * n, last) for n in range(frames)]


def spread_frames(start: int, frames: int, total: int) -> list[int]:
    """Return the fine-tuning indices: `frames` frames spread evenly over a window of frames x 4 from `start` on.

    The first and the last frame of the window are included. A clip shorter than the window gives a quarter of its
    frames, spread evenly, and then repeats its last frame.
    """
    span = frames * STRIDE
    if total <= span:
        sparse = np.linspace(0, total, total // STRIDE).astype(int)
        return [min(int(n), total - 1) for n in (*sparse, *[total] * (frames - len(sparse)))]
    return [min(int(n), start + span - 1) for n in np.linspace(start, start + span, frames)]


def hop_starts(frames: int, total: int, hop_s: float) -> list[int]:
    """Return the first frames of windows that cover a clip of `total` frames: `hop_s` apart, the last one at its end.

    Args:
        frames: that the model sees; a window spans four times as many.
    """
    length = frames * STRIDE
    hop = max(STRIDE, round(hop_s * FRAMES_PER_SECOND / STRIDE) * STRIDE)
    starts = list(range(0, max(1, total - length + 1), hop))
    last = max(0, (total - length) // STRIDE * STRIDE)
    return starts if starts[-1] >= last else [*starts, last]


def segment_frames(frames: int, total: int, segments: int) -> list[list[int]]:
    """Return the test indices: `segments` windows at stride 4, the first at the clip's start, the last at its end.

    In a clip that is no longer than one window all segments are equal. The last window starts on the stride, so its
    audio may be up to three frames short; missing audio is filled with zeros. Raises ValueError for less than one
    segment.
    """
    if segments < 1:
        raise ValueError(f"segments {segments} must be at least 1")
    indices = list(range(0, total, STRIDE))
    indices += [indices[-1]] * (frames - len(indices))
    step = (len(indices) - frames) / max(1, segments - 1)
    return [indices[int(n * step) : int(n * step) + frames] for n in range(segments)]


def on_stride(indices: Sequence[int]) -> bool:
    """Return whether the stride-aligned GOP gives these frames without decoding any other frame."""
    return all(n % STRIDE == 0 for n in indices)
