"""The sound of an input as 16 kHz mono, placed by its own timestamps on the timeline of the pictures."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Span

from avf_curation.media.container import open_container
from avf_curation.media.types import AudioTrack, MediaConfig, Samples, TimeRange

_LOST_SYNC_S = 0.05  # sound whose timestamps drift less than this is taken as continuous
_MARGIN_S = 1.0  # decoded before and after a range, so that the resampler has settled


def read_audio(
    path: Path, config: MediaConfig, start_s: float, frames: int | None, within: TimeRange | None
) -> AudioTrack | None:
    """The first audio stream as 16 kHz mono on a timeline of `frames` from `start_s` on (None: the sound's own length).

    None when the input has no audio stream. Packets that cannot be decoded leave a hole that is not covered.
    """
    with open_container(path) as container:
        if not container.streams.audio:
            return None
        until_s = None
        if within is not None:
            stream = container.streams.audio[0]
            begin_s = float((stream.start_time or 0) * stream.time_base)
            if frames is None:
                start_s, frames = begin_s + within.start_s, round(within.seconds * FRAMES_PER_SECOND)
            until_s = start_s + within.seconds + _MARGIN_S
            with suppress(av.error.FFmpegError, ValueError):  # decoded from the start instead
                container.seek(int(max(begin_s, start_s - _MARGIN_S) / float(stream.time_base)), stream=stream)
        pieces = _pieces(container, config.max_duration_s, until_s)
        if frames is None:
            return _own_length(list(pieces))
        return _placed(pieces, start_s, frames)


def _own_length(pieces: list[tuple[float, int, Samples]]) -> AudioTrack:
    """Sound without pictures: its timeline starts with it."""
    if not pieces:
        return AudioTrack(samples=np.zeros(0, np.int16))
    start_s = pieces[0][0]
    end_s = max(at_s + (skip + len(data)) / SAMPLE_RATE_HZ for at_s, skip, data in pieces)
    return _placed(iter(pieces), start_s, max(1, round((end_s - start_s) * FRAMES_PER_SECOND)))


def _placed(pieces: Iterator[tuple[float, int, Samples]], start_s: float, frames: int) -> AudioTrack:
    """Pieces put where they belong on a timeline of `frames` that starts at `start_s`."""
    samples = np.zeros(frames * SAMPLES_PER_FRAME, np.int16)
    covered: list[Span] = []
    for at_s, skip, data in pieces:
        place = round((at_s - start_s) * SAMPLE_RATE_HZ) + skip
        cut = data[max(0, -place) : max(0, len(samples) - place)]
        place = max(0, place)
        if not len(cut):
            continue
        samples[place : place + len(cut)] = cut
        if covered and covered[-1].stop_frame == place:
            covered[-1] = Span(covered[-1].start_frame, place + len(cut))
        else:
            covered.append(Span(place, place + len(cut)))
    return AudioTrack(samples=samples, covered=tuple(covered))


def _pieces(
    container: Any, max_duration_s: float, until_s: float | None = None
) -> Iterator[tuple[float, int, Samples]]:
    """(start_s of its stretch, samples into it, samples) piece by piece; a stretch has no hole in its timestamps."""
    stream = container.streams.audio[0]
    stream.thread_count = 1
    resampler: Any = None
    start_s = expected_s = total_s = 0.0
    given = 0

    def resampled(frame: Any) -> Iterator[tuple[float, int, Samples]]:
        nonlocal given
        for out in resampler.resample(frame):
            data = out.to_ndarray()[0]
            yield start_s, given, data
            given += len(data)

    for frame in _audio_frames(container, stream):
        if not frame.sample_rate or not frame.samples:
            continue
        at_s = frame.time if frame.pts is not None else expected_s
        if until_s is not None and at_s > until_s:
            break
        if resampler is None or abs(at_s - expected_s) > _LOST_SYNC_S:
            if resampler is not None:
                yield from resampled(None)
            resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)
            start_s, expected_s, given = at_s, at_s, 0
        frame.pts = None
        try:
            yield from resampled(frame)
        except (av.error.FFmpegError, ValueError):  # the format changed in mid-stream: a new stretch
            resampler = None
            continue
        seconds = frame.samples / frame.sample_rate
        expected_s, total_s = expected_s + seconds, total_s + seconds
        if total_s > max_duration_s:
            break
    if resampler is not None:
        yield from resampled(None)


def _audio_frames(container: Any, stream: Any) -> Iterator[Any]:
    packets = container.demux(stream)
    errors = 0
    while errors < 10_000:
        try:
            yield from next(packets).decode()
        except (StopIteration, EOFError):
            return
        except av.error.FFmpegError:
            errors += 1
