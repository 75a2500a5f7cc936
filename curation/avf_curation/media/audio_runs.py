"""Says when the decoded frames of a sound track are heard, and where a hole or another recording begins a new run."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

_LOST_SYNC_S = 0.05  # sound whose timestamps drift less than this is taken as continuous
_CLOCK_ROUNDING_S = 0.001
_SETTLE_S = 5.0  # of a run, whose timestamps together say when it begins


@dataclass(frozen=True, kw_only=True)
class SoundLimits:
    """Where reading sound ends, and where its time is taken anew; all in seconds on the clock of the file."""

    max_duration_s: float  # of all sound together
    until_s: float | None  # None: the end of the file
    joins_s: tuple[float, ...]  # where other recordings begin


@dataclass(frozen=True, kw_only=True)
class PlacedFrame:
    """A decoded frame of sound with its place in time."""

    frame: Any  # PyAV's AudioFrame
    time_s: float  # when it begins, on the clock of the file
    begins_run: bool  # it does not follow the frame before


def place_frames(decoded: Iterator[Any], limits: SoundLimits) -> Iterator[PlacedFrame]:
    """Yield the frames of a sound track in runs without a hole.

    A run begins when its timestamps say together, not the first one alone: that may be rounded to a millisecond, or
    wrong by a flipped bit.
    """
    waiting: list[PlacedFrame] = []
    waiting_s = 0.0  # of sound in them
    for sound in _split_runs(decoded, limits):
        if waiting and (sound.begins_run or waiting_s > _SETTLE_S):
            yield from _settle(waiting)
            waiting, waiting_s = [], 0.0
        if sound.begins_run or waiting:
            waiting.append(sound)
            waiting_s += _seconds(sound.frame)
        else:
            yield sound
    yield from _settle(waiting)


def _settle(run: list[PlacedFrame]) -> Iterator[PlacedFrame]:
    """Yield the frames of the beginning of a run, of which the first has the time that most of them say."""
    elapsed_s, starts_s = 0.0, []
    for sound in run:
        starts_s.append(sound.time_s - elapsed_s)
        elapsed_s += _seconds(sound.frame)
    for number, sound in enumerate(run):
        yield sound if number else replace(sound, time_s=float(np.median(starts_s)))


def _split_runs(decoded: Iterator[Any], limits: SoundLimits) -> Iterator[PlacedFrame]:
    """Yield the frames with their own times; a hole in the timestamps, or a join, begins a new run."""
    expected_s: float | None = None
    total_s = 0.0
    joins_passed = 0
    for frame in decoded:
        if not frame.sample_rate or not frame.samples:
            continue
        time_s = frame.time if frame.pts is not None else expected_s or 0.0
        if limits.until_s is not None and time_s > limits.until_s:
            break
        joins = bisect_right(limits.joins_s, time_s + _CLOCK_ROUNDING_S)
        begins_run = expected_s is None or abs(time_s - expected_s) > _LOST_SYNC_S or joins > joins_passed
        if begins_run or expected_s is None:
            joins_passed, expected_s = joins, time_s
        yield PlacedFrame(frame=frame, time_s=time_s, begins_run=begins_run)
        expected_s += _seconds(frame)
        total_s += _seconds(frame)
        if total_s > limits.max_duration_s:
            break


def _seconds(frame: Any) -> float:
    return float(frame.samples / frame.sample_rate)
