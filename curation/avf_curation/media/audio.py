"""Reads the sound of an input as 16 kHz mono, placed by its own timestamps on the timeline of the video."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Span

from avf_curation.media.container import MAX_DECODE_ERRORS, open_container
from avf_curation.media.types import AudioTrack, MediaConfig, Samples, TimeRange

log = logging.getLogger(__name__)

_LOST_SYNC_S = 0.05  # sound whose timestamps drift less than this is taken as continuous
_MARGIN_S = 1.0  # decoded before and after a range, so that the resampler has settled
Block = tuple[float, int, Samples]
"""(start in seconds of a run of sound without a hole, samples of that run before this block, samples)."""


def read_audio(
    path: Path, config: MediaConfig, start_s: float, frames: int | None, within: TimeRange | None
) -> AudioTrack | None:
    """Return the first audio stream as 16 kHz mono; None when the input has no audio stream.

    Packets that cannot be decoded leave a hole that is not in `covered`. Raises MediaError.

    Args:
        start_s: time of frame 0 on the clock of the file.
        frames: length of the timeline; None for the length of the sound itself.
        within: the part of the file that is the input; None for all of it.
    """
    with open_container(path) as container:
        if not container.streams.audio:
            log.debug("%r: the input has no audio stream", str(path))
            return None
        until_s = None
        if within is not None:
            stream = container.streams.audio[0]
            begin_s = float((stream.start_time or 0) * stream.time_base)
            if frames is None:
                start_s, frames = begin_s + within.start_s, round(within.seconds * FRAMES_PER_SECOND)
            until_s = start_s + within.seconds + _MARGIN_S
            try:
                container.seek(int(max(begin_s, start_s - _MARGIN_S) / float(stream.time_base)), stream=stream)
            except (av.error.FFmpegError, ValueError):  # sound before the range is decoded and dropped
                log.debug("%r: no seek to %g s in the sound; decoding starts at the first packet", str(path), start_s)
        blocks = _resample_blocks(container, config.max_duration_s, until_s)
        if frames is None:
            return _place_without_video(list(blocks))
        audio_track = _place_blocks(blocks, start_s, frames)
    if len(audio_track.covered) > 1:
        log.info("%r: the sound has %d holes", str(path), len(audio_track.covered) - 1)
    return audio_track


def _place_without_video(blocks: list[Block]) -> AudioTrack:
    """Place sound without video: the timeline starts and ends with the sound."""
    if not blocks:
        return AudioTrack(samples=np.zeros(0, np.int16))
    start_s = blocks[0][0]
    end_s = max(run_s + (skipped + len(data)) / SAMPLE_RATE_HZ for run_s, skipped, data in blocks)
    return _place_blocks(iter(blocks), start_s, max(1, round((end_s - start_s) * FRAMES_PER_SECOND)))


def _place_blocks(blocks: Iterator[Block], start_s: float, frames: int) -> AudioTrack:
    """Place blocks of sound on a timeline of `frames` that starts at `start_s`; sound outside is dropped."""
    samples = np.zeros(frames * SAMPLES_PER_FRAME, np.int16)
    covered: list[Span] = []
    for run_s, skipped, data in blocks:
        # Only the start of a run is rounded: rounding each block would tear the sound by single samples.
        position = round((run_s - start_s) * SAMPLE_RATE_HZ) + skipped
        inside = data[max(0, -position) : max(0, len(samples) - position)]
        position = max(0, position)
        if not len(inside):
            continue
        samples[position : position + len(inside)] = inside
        if covered and covered[-1].stop_frame == position:
            covered[-1] = Span(covered[-1].start_frame, position + len(inside))
        else:
            covered.append(Span(position, position + len(inside)))
    return AudioTrack(samples=samples, covered=tuple(covered))


def _resample_blocks(container: Any, max_duration_s: float, until_s: float | None = None) -> Iterator[Block]:
    """Yield the sound as 16 kHz mono, block by block; a hole in the timestamps starts a new run."""
    stream = container.streams.audio[0]
    stream.thread_count = 1
    resampler: Any = None
    start_s = expected_s = total_s = 0.0
    yielded = 0  # samples of the current run

    def resample(frame: Any) -> Iterator[Block]:
        nonlocal yielded
        for block in resampler.resample(frame):
            data = block.to_ndarray()[0]
            yield start_s, yielded, data
            yielded += len(data)

    for frame in _decode_audio(container, stream):
        if not frame.sample_rate or not frame.samples:
            continue
        time_s = frame.time if frame.pts is not None else expected_s
        if until_s is not None and time_s > until_s:
            break
        if resampler is None or abs(time_s - expected_s) > _LOST_SYNC_S:
            if resampler is not None:
                yield from resample(None)  # the samples that the filter of the old run still holds
            resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)
            start_s, expected_s, yielded = time_s, time_s, 0
        frame.pts = None  # the resampler would stretch the sound to follow small jitter of the timestamps
        try:
            yield from resample(frame)
        except (av.error.FFmpegError, ValueError):  # the format changed in mid-stream: a new run begins
            resampler = None
            continue
        seconds = frame.samples / frame.sample_rate
        expected_s, total_s = expected_s + seconds, total_s + seconds
        if total_s > max_duration_s:
            break
    if resampler is not None:
        yield from resample(None)


def _decode_audio(container: Any, stream: Any) -> Iterator[Any]:
    """Yield decoded audio frames; packets that cannot be decoded are skipped."""
    packets = container.demux(stream)
    errors = 0
    while errors < MAX_DECODE_ERRORS:
        try:
            yield from next(packets).decode()
        except (StopIteration, EOFError):
            break
        except av.error.FFmpegError:
            errors += 1
    if errors:
        log.info("%r: %d audio packets cannot be decoded and leave holes", container.name, errors)
