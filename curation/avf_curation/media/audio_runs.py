"""Says when the decoded frames of a sound track are heard, and where a hole or another recording begins a new run."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from avf_curation.media.types import MediaError

_LOST_SYNC_S = 0.05  # sound whose timestamps drift less than this is taken as continuous
_CLOCK_ROUNDING_S = 0.001
_MIN_RATE_HZ = 4000  # the lowest that devices record is 5,512
_MAX_RATE_HZ = 2_000_000  # the highest is 768,000; a resampler's filter from a thousand times that takes gigabytes
# An hour of digital silence in FLAC takes 200 kB. A file may hold three hours, and as much more as that allows.
_SMALL_FILE_S, _SECONDS_PER_BYTE = 3 * 3600, 0.02
_SETTLE_S = 5.0  # of a run, whose timestamps together say when it begins


@dataclass(frozen=True, kw_only=True)
class SoundLimits:
    """Where reading sound ends, and where its time is taken anew; all in seconds on the clock of the file."""

    max_duration_s: float  # of all sound together
    file_bytes: int  # size of the file
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
    """Yield the frames with their own times; a hole in the timestamps, or a join, begins a new run.

    Raises MediaError for sound that would take gigabytes from a file of kilobytes.
    """
    expected_s: float | None = None
    total_s = 0.0
    joins_passed = 0
    for frame in decoded:
        if not frame.sample_rate or not frame.samples:
            continue
        if not _MIN_RATE_HZ <= frame.sample_rate <= _MAX_RATE_HZ:
            raise MediaError("absurd_sound", f"the sound has {frame.sample_rate} samples a second")
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
        if total_s > _SMALL_FILE_S + _SECONDS_PER_BYTE * limits.file_bytes:
            hours = total_s / 3600
            raise MediaError("absurd_sound", f"{limits.file_bytes} bytes hold more than {hours:.1f} h of sound")


def _seconds(frame: Any) -> float:
    return float(frame.samples / frame.sample_rate)
