"""Frames of a rate on the clocks of sound and stored pictures. N frames.

Frame n of a rate lies from n / fps to (n + 1) / fps seconds; its centre is what features are of.
"""

import math

import numpy as np
import numpy.typing as npt
from avf_shards.errors import UserError
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ

from avf_training.framewise.tracks.frame_rates import MOST_FPS, is_frame_rate


def check_fps(fps: float) -> None:
    """Raise UserError for a number that is no rate."""
    if not is_frame_rate(fps):
        raise UserError(f"fps {fps:g}: frames a second are above 0 and below {MOST_FPS:g}; 25 is usual")


def frames_of_length(seconds: float, fps: float) -> int:
    """Return the number of frames that begin within so many seconds, at least 1."""
    return max(1, math.ceil(seconds * fps - 1e-6))


def frame_centres_s(frames: int, fps: float) -> npt.NDArray[np.float64]:
    """Return the centres of frames in seconds, (N,)."""
    return (np.arange(frames, dtype=np.float64) + 0.5) / np.float64(fps)


def centre_samples(frames: int, fps: float) -> npt.NDArray[np.int64]:
    """Return the samples at 16 kHz nearest to the centres of frames, (N,): 640 n + 320 at 25 frames a second."""
    return _nearest(frame_centres_s(frames, fps) * SAMPLE_RATE_HZ)


def centre_pictures(frames: int, fps: float) -> npt.NDArray[np.int64]:
    """Return the pictures stored at 25 frames a second whose centres are nearest to those of frames, (N,)."""
    return _nearest(frame_centres_s(frames, fps) * FRAMES_PER_SECOND - 0.5)


def _nearest(values_N: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return np.floor(values_N + 0.5 + 1e-9).astype(np.int64)  # what lies between two, up to rounding, is the later one
