"""Frames a second: which numbers are any, and when two rates of one video are the same. One rule for every command."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from avf_shards.text import count_noun

from avf_training.distributed.environment import log_of_rank_0
from avf_training.framewise.tracks.errors import OtherTrackError

log = log_of_rank_0(__name__)
MOST_FPS = 1000.0
SAME_SHARE = 1e-4
"""Share by which roundings of one rate differ, as 29.97 and 30000/1001."""
TOLERATED_SHARE = 0.01
"""Share by which two rates of one video may differ; 30 and 29.97 are joined, with a warning."""
_SPAN_S = 600  # over which a difference is told
_MAX_NAMED = 3  # pairs in one warning
_collected: ContextVar[dict[str, float] | None] = ContextVar("rates that differ", default=None)
"""What differs and by how many seconds after ten minutes, inside `warn_of_rates_together`; None: each is told alone."""


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
        sentence = f"{fps:g} frames a second in the {what}, and {other_fps:g} in {other}"
        drift_s = _SPAN_S * abs(fps - other_fps) / other_fps
        collected = _collected.get()
        if collected is None:
            log.warning("%s; %s", sentence, _describe_drift(drift_s))
        else:
            collected[sentence] = drift_s


@contextmanager
def warn_of_rates_together() -> Iterator[None]:
    """Log the warnings of `check_same_rate` inside the block as one at its end, with their number and the first few."""
    collected: dict[str, float] = {}
    token = _collected.set(collected)
    try:
        yield
    finally:
        _collected.reset(token)
        if collected:
            named = "; ".join(list(collected)[:_MAX_NAMED])
            more = len(collected) - _MAX_NAMED
            count = f"{count_noun(len(collected), 'pair')} of rates differ: " if len(collected) > 1 else ""
            rest = f"; and {more:,} more" if more > 0 else ""
            log.warning("%s%s%s; %s", count, named, rest, _describe_drift(max(collected.values())))


def _describe_drift(drift_s: float) -> str:
    return (
        f"they are joined by the numbers of frames, and are {drift_s:.1f} s apart after ten minutes if both numbers "
        "are right"
    )
