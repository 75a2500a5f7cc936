"""Frames a second: which numbers are any, and when two rates of one video are the same. One rule for every command."""

import logging

from avf_training.framewise.tracks.errors import OtherTrackError

log = logging.getLogger(__name__)
MOST_FPS = 1000.0
SAME_SHARE = 1e-4
"""Share by which roundings of one rate differ, as 29.97 and 30000/1001."""
TOLERATED_SHARE = 0.01
"""Share by which two rates of one video may differ; 30 and 29.97 are joined, with a warning."""
_SPAN_S = 600  # over which a difference is told


def is_frame_rate(fps: float) -> bool:
    """Return whether a number is one of frames a second: above 0 and below 1000."""
    return 0 < fps < MOST_FPS


def check_same_rate(what: str, fps: float, other: str, other_fps: float) -> None:
    """Refuse two rates of one video whose frame numbers would mean different times.

    Rates that differ by no more than a ten-thousandth are one; up to a hundredth a warning says how far apart they
    lead. Raises OtherTrackError for rates that differ by more.
    """
    if abs(fps - other_fps) > TOLERATED_SHARE * other_fps:
        raise OtherTrackError(
            f"{fps:g} frames a second in the {what}, and {other_fps:g} in {other}; write both with the same --fps"
        )
    if abs(fps - other_fps) > SAME_SHARE * other_fps:
        log.warning(
            "%g frames a second in the %s, and %g in %s; they are joined by the numbers of frames, and are %.1f s "
            "apart after ten minutes if both numbers are right",
            *(fps, what, other_fps, other, _SPAN_S * abs(fps - other_fps) / other_fps),
        )
