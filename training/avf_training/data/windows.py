"""Which frames of a clip a model sees: index sets of the authors, for clips of any length (25 fps)."""

from collections.abc import Sequence

import numpy as np

STRIDE = 4  # frames between two that the models see: 16 of them span 2.56 s at 25 fps


def window_frames(start: int, frames: int, total: int) -> list[int]:
    """Pre-training: `frames` frames at stride 4 from `start` on; past the end of the clip the last one is repeated.

    The last one is the last index on the stride, as the authors have it: a clip of 10 frames gives 0, 4, 8, 8, 8, ...
    """
    last = start + (total - 1 - start) // STRIDE * STRIDE
    return [min(start + STRIDE * n, last) for n in range(frames)]


def spread_frames(start: int, frames: int, total: int) -> list[int]:
    """Fine-tuning: `frames` frames spread evenly over the window of frames x 4 from `start` on, its ends included.

    A clip shorter than the window gives every fourth of its frames, spread alike, and then its last one again.
    """
    span = frames * STRIDE
    if total <= span:
        few = np.linspace(0, total, total // STRIDE).astype(int)
        return [min(int(n), total - 1) for n in (*few, *[total] * (frames - len(few)))]
    return [min(int(n), start + span - 1) for n in np.linspace(start, start + span, frames)]


def segment_frames(frames: int, total: int, segments: int) -> list[list[int]]:
    """Test: `segments` windows at stride 4, the first at the clip's start, the last at its end; alike in short clips.

    The last one starts on the stride, so its sound may be up to three frames short, and is filled as short sound is.
    Raises ValueError for less than one segment.
    """
    if segments < 1:
        raise ValueError(f"segments {segments} must be at least 1")
    every = list(range(0, total, STRIDE))
    every += [every[-1]] * (frames - len(every))
    step = (len(every) - frames) / max(1, segments - 1)
    return [every[int(n * step) : int(n * step) + frames] for n in range(segments)]


def on_stride(wanted: Sequence[int]) -> bool:
    """Whether the stride-aligned GOP serves these frames without decoding any other."""
    return all(n % STRIDE == 0 for n in wanted)
