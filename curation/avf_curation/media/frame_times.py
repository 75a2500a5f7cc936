"""Repairs times of presentation that contradict the order in which a decoder gives the frames."""

from collections.abc import Iterator
from dataclasses import replace

from avf_curation.media.video_decoder import DecodedFrame


def repair_times(frames: Iterator[DecodedFrame], step: int) -> Iterator[DecodedFrame]:
    """Yield frames in the order of presentation; one that lies outside its neighbours' times gets the middle of them.

    Decoders order frames by numbers in the pictures, not by their timestamps, so a flipped bit in a timestamp shows.
    Frames whose neighbours are not a frame apart keep their times: those of an overlap of joined recordings, for one.

    Args:
        step: ticks from a frame to the next at the declared rate.
    """
    before: int | None = None
    waiting: DecodedFrame | None = None
    for frame in frames:
        if waiting is not None:
            waiting = _between(before, waiting, frame.time, step)
            before = waiting.time
            yield waiting
        waiting = frame
    if waiting is not None:
        yield waiting


def _between(before: int | None, frame: DecodedFrame, after: int | None, step: int) -> DecodedFrame:
    """Return a frame with a time between two others."""
    if before is None or after is None or frame.time is None or before < frame.time < after:
        return frame
    if after - before <= 1.5 * step:
        return frame
    return replace(frame, time=(before + after) // 2)
