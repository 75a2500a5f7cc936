"""Places frames on the 25 fps timeline by their timestamps, in exact integers: pure functions.

A picture stays until the next one comes. Timestamps count from frame 0 in ticks of numerator/denominator seconds.
"""

from avf_shards.timeline import FRAMES_PER_SECOND, Span


def held_indices(earlier: int, later: int, first: int, ticks_numerator: int, ticks_denominator: int) -> range:
    """Return the timeline indices from `first` on that show the frame of timestamp `earlier`; then comes `later`.

    The next frame is shown from the index that is nearest to its timestamp, so that no picture is more than half a
    frame of the timeline (20 ms) early or late, however long the one before it stays. Above 25 fps this is the frame
    with the nearest timestamp. A tie goes to `earlier`.
    """
    # Index i shows `earlier` while i/25 <= later - min(step/2, 1/50) seconds. Both sides are multiplied by 50 so that
    # the arithmetic stays in integers: floats would decide ties, which are common at 50 fps, by rounding.
    half_step = FRAMES_PER_SECOND * ticks_numerator * (later - earlier)
    latest = 2 * FRAMES_PER_SECOND * ticks_numerator * later - min(half_step, ticks_denominator)
    return range(first, latest // (2 * ticks_denominator) + 1)


def round_to_frames(ticks: int, ticks_numerator: int, ticks_denominator: int) -> int:
    """Convert a duration in ticks to frames of the timeline, half a frame rounded up."""
    return (2 * FRAMES_PER_SECOND * ticks * ticks_numerator + ticks_denominator) // (2 * ticks_denominator)


def unseen_span(shown: range, earlier: int, later: int, tick_s: float, *, max_gap_s: float) -> list[Span]:
    """Return the indices of a hole: those where a picture would stand as a still, waiting for the next one.

    Args:
        shown: the indices at which the picture of timestamp `earlier` is placed, until the next one at `later`.
        earlier, later: timestamps, or the end of the stream for `later`.
        tick_s: seconds of a tick.
        max_gap_s: a longer step is a hole, in which the picture counts as seen for half of this.
    """
    if (later - earlier) * tick_s <= max_gap_s:
        return []
    start = int((earlier * tick_s + max_gap_s / 2) * FRAMES_PER_SECOND) + 1
    return [Span(max(start, shown.start), shown.stop)] if shown.stop > max(start, shown.start) else []
