"""Repairs times of presentation that contradict the order in which a decoder gives the frames."""

from collections.abc import Iterator
from dataclasses import replace

from avf_curation.media.video_decoder import DecodedFrame

MAX_EQUAL = 8  # frames with one timestamp that are held in memory until the next one is known


def repair_times(frames: Iterator[DecodedFrame], step: int) -> Iterator[DecodedFrame]:
    """Yield frames in the order of presentation, with times that ascend where their timestamps do not.

    Frames with one timestamp come evenly, up to the next one. A frame whose time lies outside its neighbours' gets the
    middle of them: decoders order frames by numbers in the pictures, not by their timestamps, so a flipped bit in a
    timestamp shows. Frames whose neighbours are not a frame apart keep their times: those of an overlap of joined
    recordings, for one.

    Args:
        step: ticks from a frame to the next at the declared rate.
    """
    before: int | None = None
    waiting: DecodedFrame | None = None
    for frame in _spread_equal(frames, step):
        if waiting is not None:
            waiting = _between(before, waiting, frame.time, step)
            before = waiting.time
            yield waiting
        waiting = frame
    if waiting is not None:
        yield waiting


def _spread_equal(frames: Iterator[DecodedFrame], step: int) -> Iterator[DecodedFrame]:
    """Yield frames with one timestamp evenly between it and the next one."""
    equal: list[DecodedFrame] = []
    for frame in frames:
        if equal and (frame.time != equal[0].time or frame.time is None or len(equal) == MAX_EQUAL):
            yield from _spread(equal, frame.time, step)
            equal = []
        equal.append(frame)
    yield from _spread(equal, None, step)


def _spread(equal: list[DecodedFrame], after: int | None, step: int) -> Iterator[DecodedFrame]:
    """Yield frames of one time, each later than the one before by their share of the time until `after`."""
    usual = len(equal) * step
    for number, frame in enumerate(equal):
        if frame.time is None or number == 0:
            yield frame
            continue
        until = after - frame.time if after is not None else usual
        # Where they overlap with what comes then, or a hole begins, they come at the declared rate.
        until = until if 0 < until <= 2 * usual else usual
        yield replace(frame, time=frame.time + number * until // len(equal))


def _between(before: int | None, frame: DecodedFrame, after: int | None, step: int) -> DecodedFrame:
    """Return a frame with a time between two others."""
    if before is None or after is None or frame.time is None or before < frame.time < after:
        return frame
    if after - before <= 1.5 * step:
        return frame
    return replace(frame, time=(before + after) // 2)
